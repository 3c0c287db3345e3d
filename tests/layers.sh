# Keeps the architecture: layers include downward only, libraries stay where they belong, headers stand alone, the engine
# knows no method by name. In: the source tree. Out: a line `ok NAME` or `not ok NAME` for each rule, and what breaks it.
set -u
cd "$(dirname "$0")/.." || exit 1
failed=0

# verdict NAME "what was found": nothing found is good.
verdict() {
    if [ -z "$2" ]; then
        echo "ok layers: $1"
    else
        printf '%s\n' "$2" | head -n 20
        echo "not ok layers: $1"
        failed=1
    fi
}

# file:line:included for every include; "x" and <x> keep their marks
includes() {
    find "$@" \( -name '*.[ch]' -o -name '*.cc' \) -exec grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' {} + |
        sed -E 's/^([^:]*:[0-9]*:)[[:space:]]*#[[:space:]]*include[[:space:]]*(["<][^">]*[">]).*/\1\2/' | sort
}

verdict "include directions" "$(includes engine | awk -F: '
    BEGIN {
        see["base"] = "base"
        see["spec"] = "base spec"
        see["graph"] = "base graph"
        see["data"] = "base data"
        see["ops"] = see["base"] " spec graph data ops"
        see["trace"] = see["ops"] " trace"
        see["compile"] = see["trace"] " compile"
        see["lint"] = see["compile"] " lint"
        see["device"] = see["compile"] " device"
        see["run"] = see["device"] " lint run"
    }
    $3 ~ /^"/ {
        split($1, path, "/")
        layer = path[2]
        name = substr($3, 2, length($3) - 2)
        if (name !~ /\//) next                     # beside the file itself; checked below
        split(name, part, "/")
        if (name ~ /\.\./) { print $0 "  (no ..)"; next }
        if (layer == "include") { print $0 "  (public headers include public headers as <anlage/...>)"; next }
        if (!(part[1] in see)) { print $0 "  (not a layer)"; next }
        if (index(" " see[layer] " ", " " part[1] " ") == 0) print $0 "  (" layer " may see: " see[layer] ")"
        if (name ~ /^device\/(vulkan|host)\// && index($1, substr(name, 1, index(substr(name, 8), "/") + 6)) == 0 && $1 !~ /^engine\/device\/[^\/]*$/)
            print $0 "  (the two devices do not know each other)"
        if (layer == "run" && name ~ /^device\/.*\//) print $0 "  (run sees device.h only)"
    }')"

verdict "names without a folder lie beside the file" "$(includes engine frontend samples tests/unit | while IFS=: read -r file line name; do
    case $name in
    '"'*/*) ;;
    '"shaders.h"') case $file in engine/device/vulkan/*) ;; *) echo "$file:$line $name" ;; esac ;;
    '"rules.h"') [ -f frontend/rules/rules.h ] || echo "$file:$line $name" ;;
    '"lsp_'*'.h"') [ -f "frontend/$(echo "$name" | tr -d '"')" ] || echo "$file:$line $name" ;;
    '"version.h"') [ -f "$(dirname "$file")/version.h.in" ] || echo "$file:$line $name" ;;
    '"'*)
        plain=${name#?}
        [ -f "$(dirname "$file")/${plain%?}" ] || echo "$file:$line $name"
        ;;
    esac
done)"

# only PATTERN-OF-HEADERS REGEX-OF-PLACES: found elsewhere
only() { includes engine frontend | grep -E ":<$1" | grep -vE "^$2"; }
verdict "vulkan and glslang in device/vulkan only" "$(only '(vulkan|glslang|spirv)' 'engine/device/vulkan/')"
verdict "cblas in device/host only" "$(only 'cblas' 'engine/device/host/')"
verdict "yaml in spec only" "$(only 'yaml' 'engine/spec/')"
verdict "image libraries in data only" "$(only '(tiff|png|jpeglib|jerror|spng|zlib|blosc|dcmtk|nifti)' 'engine/data/')"
verdict "cJSON in the frontend only" "$(only 'cjson' 'frontend/')"
verdict "OpenSSL in base only" "$(only 'openssl' 'engine/base/')"
verdict "hdf5 in data and run only" "$(only 'hdf5' 'engine/(data|run)/')"
verdict "frontend and samples see public headers only" "$(includes frontend samples | grep -E ':"[^"]*/')"
verdict "public headers include public and C headers only" "$(includes engine/include |
    grep -vE ':<(anlage/[a-z_]+|stdarg|stdbool|stddef|stdint|stdio)\.h>$')"

verdict "the engine names no method" "$(grep -rniE 'swav|simclr|byol|moco|sinkhorn|resnet' engine shaders)"
verdict "files say what they are for" "$(find engine frontend samples tests \( -name '*.[ch]' -o -name '*.cc' \) | sort | while read -r file; do
    head -c 3 "$file" | grep -q '^/\* ' || echo "$file"
done)"

# Every header compiles alone. base/config.h is made by the build.
build=${BUILD:-build}
verdict "headers stand alone" "$(find engine -name '*.h' | sort | while read -r header; do
    case $header in engine/device/vulkan/*) more=-I$build/shaders ;; *) more= ;; esac
    head -n 3 "$header" | grep -q 'included by .* with' && continue # a template: means nothing without its macros
    echo "#include \"$header\"" |
        cc -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -fsyntax-only -I. -Iengine -Iengine/include "-I$build/engine" $more \
            $(pkg-config --cflags hdf5 yaml-0.1 openblas 2>/dev/null) -x c - 2>&1 | head -n 3
done)"

# What the command loads is built with the target that builds it alone (samples/quickstart.sh does).
verdict "the command is built with its modules" "$(find "$build/engine" -name 'anlage_*.so' | while read -r module; do
    ninja -C "$build" -t inputs command 2>&1 | grep -q "^${module#"$build"/}\.p/" || echo "$module"
done)"

if [ -d .git ] && command -v git >/dev/null 2>&1; then
    verdict "top level" "$(git ls-files | sed 's#/.*##' | sort -u | grep -vxE 'meson\.build|meson_options\.txt|README\.md|LICENSE|\.clang-format|\.gitignore|\.ci|engine|shaders|specs|frontend|tests|samples')"
fi
exit $failed
