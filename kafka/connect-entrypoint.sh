#!/bin/sh
# Reads the connectors' passwords from their files, adds this container's addresses to the worker's settings, and
# becomes the worker.
set -eu

password() {
    [ -r "$1" ] || { echo "error: the password file $1 cannot be read. Mount it, readable for user $(id -u)." >&2; exit 1; }
    cat "$1"
}
CONNECT_SOURCE_PASSWORD=$(password /run/secrets/source-password)
CONNECT_TARGET_PASSWORD=$(password /run/secrets/target-password)
export CONNECT_SOURCE_PASSWORD CONNECT_TARGET_PASSWORD

cat /opt/cargo/connect-distributed.properties - >/tmp/connect-distributed.properties <<END

# This container's addresses
bootstrap.servers=${CONNECT_BOOTSTRAP_SERVERS}
listeners=http://:8083
rest.advertised.host.name=${CONNECT_ADVERTISED_HOST}
rest.advertised.port=8083
plugin.path=/opt/cargo/plugins
END
exec /opt/kafka/bin/connect-distributed.sh /tmp/connect-distributed.properties
