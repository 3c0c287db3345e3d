# Shared by samples/quickstart.sh and tests/run.sh, sourced from the top of the source tree.
# In: nothing. Out: anlage_install installs what the build needs; anlage_build FOLDER [meson options] configures and builds there.
# On Debian and Ubuntu packages come from apt-get (as root or through sudo); elsewhere they are named, and the script stops.

# What to look for, and the Debian package that has it: a command, a pkg-config module, a module of Python, or a file to be compiled against.
anlage_needs="
command:cc            build-essential
command:c++           build-essential
command:meson         meson
command:ninja         ninja-build
command:pkg-config    pkg-config
command:glslangValidator glslang-tools
module:vulkan         libvulkan-dev
module:yaml-0.1       libyaml-dev
module:hdf5           libhdf5-dev
module:libtiff-4      libtiff-dev
module:libpng         libpng-dev
module:libjpeg        libjpeg-dev
module:zlib           zlib1g-dev
module:libcrypto      libssl-dev
module:check          check
module:openblas       libopenblas-dev
module:blosc          libblosc-dev
module:libcjson       libcjson-dev
module:cairo          libcairo2-dev
header:dcmtk/config/osconfig.h libdcmtk-dev
header:nifti/nifti2.h  libnifti2-dev
header:glslang/Include/glslang_c_interface.h glslang-dev
library:SPIRV-Tools-opt spirv-tools
"

# Packages that are missing, one per line. Arguments: more "kind:what package" lines to look for.
anlage_missing() {
    printf '%s\n%s\n' "$anlage_needs" "${1:-}" | while read -r what package; do
        [ -n "$what" ] || continue
        name=${what#*:}
        found=yes
        case $what in
        command:*) command -v "$name" >/dev/null 2>&1 || found= ;;
        module:*) pkg-config --exists "$name" 2>/dev/null || found= ;;
        header:*) echo "#include <$name>" | cc -E -x c - >/dev/null 2>&1 || found= ;;
        python:*) /usr/bin/python3 -c "import $name" >/dev/null 2>&1 || found= ;;
        library:*) echo 'int main(void){return 0;}' | cc -x c - -o /dev/null "-l$name" >/dev/null 2>&1 || found= ;;
        driver:*) anlage_any /usr/share/vulkan/icd.d/$name /etc/vulkan/icd.d/$name || found= ;;
        layer:*) anlage_any /usr/share/vulkan/explicit_layer.d/$name /etc/vulkan/explicit_layer.d/$name || found= ;;
        esac
        [ -n "$found" ] || echo "$package"
    done | sort -u
}

# Whether any of the files exists.
anlage_any() {
    for candidate in "$@"; do
        [ -e "$candidate" ] && return 0
    done
    return 1
}

# Installs what is missing, or names it and exits 1.
anlage_install() {
    missing=$(anlage_missing "${1:-}" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "These are missing (by their names in Debian); please install them and start again:" >&2
        echo "    $missing" >&2
        exit 1
    fi
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "These packages are missing; please have them installed (there is no sudo here) and start again:" >&2
            echo "    apt-get install $missing" >&2
            exit 1
        fi
        as_root=sudo
    fi
    echo "installing: $missing"
    # A list of packages that is a day old still installs; only where it does not is it fetched anew.
    if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1; then
        $as_root apt-get update -qq
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
    fi
    missing=$(anlage_missing "${1:-}" | tr '\n' ' ')
    if [ -n "$missing" ]; then
        echo "Still missing after installing: $missing" >&2
        exit 1
    fi
}

# Configures once and builds: all, or $anlage_targets. What the tools say is shown only when they fail.
anlage_targets=
anlage_build() {
    folder=$1
    shift
    mkdir -p "$folder"
    log=$folder/setup.log
    if [ -f "$folder/build.ninja" ]; then
        set -- configure "$@" "$folder"
    else
        set -- setup "$@" "$folder"
    fi
    if ! meson "$@" >"$log" 2>&1 || ! ninja -C "$folder" $anlage_targets >>"$log" 2>&1; then
        cat "$log" >&2
        echo "The build in $folder failed; what it said is above and in $log." >&2
        return 1
    fi
}
