#!/bin/sh
# Fetches the pinned jars into kafka/jars and checks each against jars.sha256. What is complete is left alone.
#   fetch-jars.sh                  everything
#   fetch-jars.sh postgres jdbc    only the connectors' plugins
set -eu
cd "$(dirname "$0")"

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

folder_of() {
    case "$1" in
        worker) echo kafka ;;
        postgres) echo plugins/debezium-postgres ;;
        jdbc) echo plugins/debezium-jdbc ;;
        *) echo "error: no profile $1. There are: worker postgres jdbc" >&2; exit 2 ;;
    esac
}

# complete ROOT FOLDER: every listed jar is there with its checksum, and no other.
complete() {
    [ -d "$1/$2" ] || return 1
    listed=$(grep -c "  $2/" jars.sha256)
    found=$(find "$1/$2" -name '*.jar' | wc -l)
    [ "$listed" -eq "$found" ] || return 1
    grep "  $2/" jars.sha256 | (cd "$1" && sha256 -c --status -)
}

# Reads what Maven says: counts the files that came, and passes on what went wrong.
progress() {
    files=0
    while IFS= read -r line; do
        case "$line" in
            *Downloaded*)
                files=$((files + 1))
                if [ -t 2 ]; then
                    printf '\r  %s files came' "$files" >&2
                elif [ $((files % 100)) -eq 0 ]; then
                    echo "  $files files came" >&2
                fi ;;
            *ERROR*) printf '%s\n' "$line" >&2 ;;
        esac
    done
    if [ -t 2 ] && [ "$files" -gt 0 ]; then echo >&2; fi
}

[ $# -gt 0 ] || set -- worker postgres jdbc
for profile in "$@"; do
    folder=$(folder_of "$profile")
    if complete jars "$folder"; then continue; fi
    if ! command -v mvn >/dev/null 2>&1; then
        echo "error: Maven is missing; it fetches Kafka's jars. Install it (Debian, Ubuntu: apt-get install maven)." >&2
        exit 1
    fi
    echo "Fetching the jars of $folder ($(grep -c "  $folder/" jars.sha256) of them, and what Maven needs for it)"
    # Fetched beside and moved when checked: an interrupted run leaves nothing that looks complete.
    staging=$(mktemp -d "$PWD/.jars.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    {
        mvn -B -C -Dstyle.color=never -f pom.xml -P "$profile" -Dout="$staging" dependency:copy-dependencies &&
            : >"$staging/fetched"
    } 2>&1 | progress
    [ -e "$staging/fetched" ] || {
        echo "error: Maven could not fetch the jars of $folder; see its message above and run this again." >&2
        echo "An 'unknown host' in it may only mean that the usual repository lacks the artefact: Maven asks another then." >&2
        exit 1
    }
    if ! complete "$staging" "$folder"; then
        echo "error: the jars fetched for $folder are not those of kafka/jars.sha256:" >&2
        grep "  $folder/" jars.sha256 | (cd "$staging" && sha256 -c --quiet - >&2) || true
        find "$staging/$folder" -name '*.jar' | while read -r jar; do
            grep -q "  $folder/${jar##*/}\$" jars.sha256 || echo "$folder/${jar##*/}: not listed" >&2
        done
        exit 1
    fi
    rm -rf "jars/$folder"
    mkdir -p "jars/$(dirname "$folder")"
    chmod 755 "$staging"
    mv "$staging/$folder" "jars/$folder"
    rm -rf "$staging"
done
