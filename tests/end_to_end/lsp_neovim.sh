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

# the setup that README.md gives
sed -n '/^```lua/,/^```$/p' "$root/README.md" | grep -v '^```' > "$work/init.lua"
sed 's/(scores - label)/(score - label)/' "$root/tests/end_to_end/lsp/main.yaml" > "$work/folder/main.yaml"
mkdir "$work/bin"
ln -s "$anlage" "$work/bin/anlage"
(cd "$work/folder" && PATH=$work/bin:$PATH HOME=$work timeout 60 nvim --headless -u "$work/init.lua" -i NONE main.yaml \
    -c 'lua vim.wait(20000, function() return #vim.diagnostic.get(0) > 0 end)' -c 'lua io.stdout:write(vim.diagnostic.get(0)[1].message)' \
    -c 'qa!') > "$work/shown" 2>&1
check "neovim as README.md sets it up" grep -q "did you mean .scores" "$work/shown"
exit $((failures > 0))
