#!/bin/sh
# Prints the alarms of a service that are active, or that it cannot be asked; nothing when all is well. cron mails what is
# printed:  */5 * * * *  MUSTER_TOKEN=... /opt/muster/alarms.sh http://127.0.0.1:5000
url=${1:-http://127.0.0.1:5000}

answer=$(curl --silent --show-error --fail --max-time 20 --retry 3 --retry-connrefused \
    ${MUSTER_TOKEN:+--header "Authorization: Bearer $MUSTER_TOKEN"} "$url/api/v1/alarms" 2>&1) || {
    echo "Muster at $url cannot be asked: $answer"
    exit 2
}
# Everything before "history" is what is active now; one alarm a line, its name and its message.
active=${answer%%\"history\"*}
names=$(printf '%s' "$active" | tr '{' '\n' |
    sed -n 's/.*"message": *"\([^"]*\)".*"name": *"\([^"]*\)".*/\2: \1/p; s/.*"name": *"\([^"]*\)".*"message": *"\([^"]*\)".*/\1: \2/p')
[ -z "$names" ] && exit 0
printf '%s\n' "$names" | sort -u
exit 1
