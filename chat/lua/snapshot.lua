-- ARGV: viewer. Answers ok (the snapshot).
touch()
return {'ok', snapshot()}
