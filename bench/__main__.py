import sys, json
from pathlib import Path
import tempfile
from bench.race import LANES, model, running
with tempfile.TemporaryDirectory() as f, model(Path(f)) as url:
    for name in sys.argv[1].split(","):
        with running(LANES[name], url) as ran:
            for order in sys.argv[2:]:
                do, _, how = order.partition(":")
                print(name, do, {k: round(v,3) for k,v in ran.load(do, **json.loads(how or "{}")).items()}, flush=True)
