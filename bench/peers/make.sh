#!/bin/sh
# Makes the peers' own interpreters, .peers/sb3, .peers/imitation, .peers/sbx, .peers/minilm, .peers/trl and .peers/trl112, in the project's root. Does nothing where they are there.
#   sh bench/peers/make.sh [PYTHON]
# torch goes first, so that no peer chooses another build; the requirement files pin everything that a figure depends on.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${1:-$(command -v python3.11 || command -v python3)}

make_peer() {
    name=$1
    shift
    folder=$root/.peers/$name
    # The mark holds the requirements that were installed: a changed file makes the environment anew.
    if [ -f "$folder/requirements.txt" ] && cmp -s "$here/$name.txt" "$folder/requirements.txt"; then
        echo "$folder is up to date" >&2
        return
    fi
    if [ -x "$folder/bin/python" ] && "$folder/bin/python" "$here/satisfied.py" "$here/$name.txt"; then
        cp "$here/$name.txt" "$folder/requirements.txt"
        echo "$folder has what $name.txt asks for" >&2
        return
    fi
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --upgrade pip
    "$folder/bin/python" -m pip install --quiet "$(grep '^torch==' "$here/$name.txt")"
    "$folder/bin/python" -m pip install --quiet -r "$here/$name.txt"
    cp "$here/$name.txt" "$folder/requirements.txt"
    echo "made $folder" >&2
}

make_peer sb3
make_peer imitation
make_peer sbx
make_peer minilm
make_peer trl
make_peer trl112
