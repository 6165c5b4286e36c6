"""Bad inputs: `harness datasets` with names, files and options that make no sense. Columns and `$NAMES`: see `bad_inputs`."""

from __future__ import annotations

from bad_inputs import Row

DATASETS: list[Row] = [
    (2, "datasets", r"harness datasets: name an action: ls, show, fetch, verify, describe, convert, rm \(help: .*--help\)"),
    (2, "datasets shwo x", r"unknown action 'shwo': did you mean show"),
    (2, "datasets ls --json --json", r"--json is given twice"),
    (3, "datasets ls nowhere", r"unknown dataset 'nowhere': .*\(all: harness datasets ls\)"),
    (3, "datasets ls $LINES", r"unknown dataset 'one two.*harness: error: three': known: "),
    (2, "datasets fetch", r"NAME is missing"),
    (2, "datasets fetch og-marl/smac_v1/3m/Good --out kept", r"'--out' is unknown"),
    (3, "datasets fetch 3m", r"unknown dataset '3m': .*\(all: harness datasets ls\)"),
    (3, "datasets fetch og-marl/smac_v1/3m/God", r"did you mean og-marl/smac_v1/3m/Good"),
    (3, "datasets fetch og-marl/../../3m/Good", r"unknown dataset 'og-marl/\.\./\.\./3m/Good'"),
    (3, "datasets fetch $LONG", r"unknown dataset 'x+\.\.\.x+'"),
    (3, "datasets fetch $ESCAPES", r"unknown dataset ' \[2J"),
    (6, "datasets fetch og-marl/smac_v1/3m/Good --attempts 0", r"--attempts is 0; give a number from 1 to 1000"),
    (6, "datasets fetch og-marl/smac_v1/3m/Good --timeout nan", r"--timeout is nan; give a number from 0\.01"),
    (6, "datasets fetch og-marl/smac_v1/3m/Good --mirror file:///etc", r"'file:///etc' is no address of a web server"),
    (6, "datasets fetch og-marl/smac_v1/3m/Good --mirror http://a:b@c/", r"a user name or password in it is not used"),
    (2, "datasets fetch og-marl/smac_v1/3m/Good --via ftp", r"--via is 'ftp', expected 'https', 'hub'"),
    (2, "datasets fetch og-marl/smac_v1/3m/Good --via hub --mirror http://a", r"--via hub knows no --mirror; give one of them"),
    (2, "datasets fetch og-marl/smac_v1/3m/Good --from x.zip --mirror http://a", r"--from FILE needs no download; leave --mirror and --via out"),
    (3, "datasets fetch og-marl/smac_v1/3m/Good --from none.zip", r"--from none\.zip: there is no such file"),
    (3, "datasets fetch og-marl/smac_v1/3m/Good --from folder", r"--from folder: there is no such file"),
    (3, "datasets fetch og-marl/smac_v1/3m/Good --from pipe", r"--from pipe: there is no such file"),
    (5, "datasets fetch og-marl/smac_v1/3m/Good --from text", r"--from text is no zip archive, or a damaged one; "),
    (3, "datasets show og-marl/smac_v1/3m", r"unknown dataset 'og-marl/smac_v1/3m': did you mean .*og-marl/smac_v1/3m/Good"),
    (3, "datasets verify omar/mpe/simple_tag/Expert", r"is not in .*; fetch it with: harness datasets fetch omar/mpe/simple_tag/Expert"),
    (3, "datasets verify none.h5", r"there is no dataset file none\.h5"),
    (5, "datasets verify text.h5", r"text\.h5 is not a dataset file"),
    (3, "datasets describe omar/mpe/simple_tag/Expert", r"fetch it with: harness datasets fetch"),
    (3, "train --agent vgm2p --dataset omar/mpe/simple_tag/Expert", r"fetch it with: harness datasets fetch"),
    (2, "datasets rm", r"NAME is missing"),
    (2, "datasets rm text.h5", r"text\.h5 is no name of the catalog; files of yours are not deleted"),
    (2, "datasets rm ..", r"\.\. is no name of the catalog; files of yours are not deleted"),
    (3, "datasets rm og-marl/smac_v1/3m/Good", r"nothing of og-marl/smac_v1/3m/Good is in "),
]  # fmt: skip
