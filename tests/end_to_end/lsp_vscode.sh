#!/bin/sh
# The language server behind the protocol library of Visual Studio Code's client, where npm's vscode-languageserver-protocol is found
# (NODE_PATH). In: ANLAGE, tests/end_to_end/lsp. Out: ok / not ok lines.
. "$(dirname "$0")/common.sh"
if "$anlage" --version | grep -q 'cJSON none'; then
    skip lsp_vscode "built without cJSON"
    exit 0
fi
if ! node -e "require('vscode-languageserver-protocol/node')" > /dev/null 2>&1; then
    skip lsp_vscode "no node, or no vscode-languageserver-protocol of npm in NODE_PATH"
    exit 0
fi
cp -r "$root/tests/end_to_end/lsp" "$work/folder"
timeout 300 node "$root/tests/end_to_end/lsp_vscode.js" "$anlage" "$work/folder"
