#!/bin/sh
# The language server in Neovim, headless: what the client shows and applies.
# In: ANLAGE, tests/end_to_end/lsp. Out: ok / not ok lines.
. "$(dirname "$0")/common.sh"
if "$anlage" --version | grep -q 'cJSON none'; then
    skip lsp_neovim "built without cJSON"
    exit 0
fi
command -v nvim > /dev/null || { skip lsp_neovim "no nvim"; exit 0; }
cp -r "$root/tests/end_to_end/lsp" "$work/folder"
ANLAGE=$anlage FOLDER=$work/folder HOME=$work XDG_STATE_HOME=$work timeout 300 nvim --headless -u NONE -i NONE \
    -c "luafile $root/tests/end_to_end/lsp_neovim.lua" -c 'cq!' 2> "$work/errors"
status=$?
if [ "$status" != 0 ]; then
    not_ok "neovim ends well" "status $status"
    tail -n 20 "$work/errors" | sed 's/^/    /'
fi
exit $((failures > 0))
