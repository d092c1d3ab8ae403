#!/bin/sh
# Makes sure that Maven, and with it Java, is there: as root on Debian or Ubuntu it is installed, elsewhere the command is named.
set -eu

if command -v mvn >/dev/null 2>&1; then
    exit 0
fi
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Maven is missing: installing it with apt-get (it fetches Kafka's jars, once)"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends maven default-jre-headless >/dev/null
    exit 0
fi
if command -v apt-get >/dev/null 2>&1; then
    echo "error: Maven is missing. Run: sudo apt-get install maven" >&2
elif command -v brew >/dev/null 2>&1; then
    echo "error: Maven is missing. Run: brew install maven" >&2
else
    echo "error: Maven is missing. Install Maven and a Java runtime of version 17 or newer with your package manager." >&2
fi
exit 1
