#!/usr/bin/env bash
# Set up .venv from uv.lock: uv itself, the locked packages, the project, torch. With nothing changed, returns at once.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:?names the interpreter}
uv_wanted=${UV_WANTED:?names the version of uv}
stamp=.make/setup

stop() { echo "tickloop: $1" >&2; exit 1; }

# CPython 3.11 or one clear line
found=$("$python" -c 'import platform as p; print(p.python_implementation(), p.python_version())' 2>/dev/null) ||
    stop "no Python found as '$python'; tickloop needs CPython 3.11 (make PYTHON=/path/to/python3.11)"
[[ $found == "CPython 3.11."* ]] || stop "'$python' is $found; tickloop needs CPython 3.11 (make PYTHON=/path/to/python3.11)"

# torch comes from where pip is told to find links, if a build lies there; else uv picks CPU or CUDA by this machine
torch=torch==$(sed -n '/^name = "torch"$/{n;s/version = "\(.*\)"/\1/p}' uv.lock)
links=${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}
torch_from=auto
for place in $links; do
    if [[ $place == *://* ]] || compgen -G "$place/torch-*.whl" >/dev/null; then torch_from=$place; break; fi
done

wanted=$(
    sha256sum uv.lock pyproject.toml tools/setup.sh
    echo "$found $("$python" -c 'import sys; print(sys.base_prefix)') uv $uv_wanted $torch from $torch_from"
)
if [[ -x .venv/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]]; then exit 0; fi

mkdir -p .make
rm -f "$stamp"
if ! [[ -x .make/uv/bin/uv && $(.make/uv/bin/uv --version) == "uv $uv_wanted "* ]]; then
    echo "set-up: uv $uv_wanted"
    rm -rf .make/uv
    "$python" -m venv .make/uv
    .make/uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_wanted"
fi
uv=$PWD/.make/uv/bin/uv

echo "set-up: the locked packages"
"$uv" venv --quiet --allow-existing --python "$python" .venv
export VIRTUAL_ENV=$PWD/.venv
"$uv" export --quiet --frozen --no-emit-project --prune torch >.make/requirements.txt
"$uv" pip sync --quiet --require-hashes .make/requirements.txt
"$uv" pip install --quiet --no-deps --no-build-isolation --editable .

echo "set-up: $torch from $torch_from"      # after the sync, which takes away what it does not list
if [[ $torch_from == auto ]]; then
    "$uv" pip install --quiet --torch-backend=auto "$torch"
else
    UV_FIND_LINKS=$torch_from "$uv" pip install --quiet "$torch"
fi

echo "$wanted" >"$stamp"
echo "set-up: done"
