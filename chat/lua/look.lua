-- Where the conversation stands; looking is a use. ARGV: viewer. Answers ok (epoch, newest n).
touch()
return {'ok', run.epoch, run.n}
