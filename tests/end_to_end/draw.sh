#!/bin/sh
# `anlage draw` as a command: DOT, pictures through Graphviz, what happens without it, and files that stay whole.
# In: ANLAGE; Graphviz's dot for the pictures, skipped without. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"
spec=$root/specs/pretrain/swav.yaml
check "DOT on stdout" sh -c "'$anlage' draw '$spec' > '$work/a.dot' && grep -q '^digraph' '$work/a.dot'"
check "DOT in a file" "$anlage" draw "$spec" -o "$work/b.dot"
check "… is the same, time after time" cmp "$work/a.dot" "$work/b.dot"
check_fails "an ending that is unknown" 2 "does not end with" "$anlage" draw "$spec" -o "$work/a.bmp"
check_fails "no spec" 2 "give one spec" "$anlage" draw -o "$work/a.svg"
check_fails "a depth that is none" 2 "no number" "$anlage" draw "$spec" --depth 0
check_fails "a library has nothing to draw" 1 "A0210" "$anlage" draw "$root/specs/lib/resnet.yaml"
check_fails "a wrong spec is reported" 1 "A0201" "$anlage" draw "$root/tests/specs/rejected/unknown_key.yaml" -o "$work/none.svg"
check "… and writes nothing" test ! -e "$work/none.svg"
check_fails "a folder that is not there" 1 "cannot write" "$anlage" draw "$spec" -o "$work/no/a.dot"

# Graphviz is found through PATH alone.
mkdir "$work/empty" "$work/broken"
echo kept > "$work/kept.svg"
check_fails "without Graphviz the remedy is named" 1 "apt-get install graphviz" env "PATH=$work/empty" "$anlage" draw "$spec" -o "$work/kept.svg"
printf '#!/bin/sh\necho half a picture\nexit 3\n' > "$work/broken/dot"
chmod +x "$work/broken/dot"
check_fails "a dot that fails" 1 "status 3" env "PATH=$work/broken:$PATH" "$anlage" draw "$spec" -o "$work/kept.svg"
check "… leaves the file as it was" sh -c "[ \"\$(cat '$work/kept.svg')\" = kept ]"
check "… and no other file" sh -c "! ls '$work' | grep -q tmp"

if ! command -v dot > /dev/null; then
    skip "pictures" "no dot command (Graphviz)"
    exit $((failures > 0))
fi
check "SVG" "$anlage" draw "$spec" --set network=resnet50 -o "$work/a.svg"
check "… shows modules, sizes and losses" sh -c "grep -q '>layer3 ×6<' '$work/a.svg' && grep -q '5,889,504 weights' '$work/a.svg' && grep -q '>stop_gradient<' '$work/a.svg' &&
    grep -q 'view 2, batch 64, y 16, x 16, channel 128' '$work/a.svg' && grep -q '>clustering<' '$work/a.svg'"
check "PNG" sh -c "'$anlage' draw '$spec' -o '$work/a.png' && head -c 4 '$work/a.png' | grep -q PNG"
check "PDF" sh -c "'$anlage' draw '$spec' -o '$work/a.pdf' && head -c 4 '$work/a.pdf' | grep -q PDF"
cd "$work" || exit 1
check "no shell reads a name" "$anlage" draw "$spec" -o 'a b;$(touch harm).svg'
check "… the file has it" test -s 'a b;$(touch harm).svg'
check "… nothing else has happened" test ! -e harm
for spec in "$root"/specs/pretrain/*.yaml "$root"/specs/finetune/*.yaml "$root"/specs/hybrid/*.yaml "$root"/tests/specs/accepted/*.yaml; do
    grep -q '^losses:' "$spec" || continue
    for options in "" "--evaluate" "--depth 1" "--depth 6"; do
        # shellcheck disable=SC2086
        "$anlage" draw "$spec" $options 2>&1 | dot -Tsvg > "$work/out.svg" 2> "$work/errors"
        [ -s "$work/out.svg" ] && [ ! -s "$work/errors" ] || not_ok "dot reads $(basename "$spec") $options" "$(head -n 1 "$work/errors")"
    done
done
[ "$failures" -gt 0 ] || ok "dot reads the drawings of all specs, without a warning"
exit $((failures > 0))
