#!/bin/sh
# Puts the data views and dashboards into Kibana, in the place of what has the same ids.
#
#   KIBANA_URL=http://localhost:5601 collector/kibana/import.sh
#
# With KIBANA_API_KEY, or KIBANA_USER and KIBANA_PASSWORD, where Kibana asks for them.
set -eu

url=${KIBANA_URL:-http://localhost:5601}
file=$(dirname "$0")/colophon.ndjson

fail() { echo "import: $*" >&2; exit 1; }

kibana() {
  if [ -n "${KIBANA_API_KEY:-}" ]; then set -- --header "Authorization: ApiKey $KIBANA_API_KEY" "$@"
  elif [ -n "${KIBANA_USER:-}" ]; then set -- --user "$KIBANA_USER:${KIBANA_PASSWORD:-}" "$@"
  fi
  curl --silent --show-error --max-time 60 "$@"
}

[ -r "$file" ] || fail "$file is missing: npm run build in collector/dashboards makes it"

tries=${KIBANA_TRIES:-60}
until kibana --fail --output /dev/null "$url/api/status" 2>/dev/null; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || fail "no Kibana that is ready at $url"
  sleep 2
done

answer=$(kibana --header 'kbn-xsrf: true' --form "file=@$file" \
  "$url/api/saved_objects/_import?overwrite=true") || fail "$url could not be reached"

# Kibana says 200 for objects that it refused, too.
case $answer in
  *'"success":true'*) echo "import: done, see $url/app/dashboards" ;;
  *) fail "Kibana refused it: $answer" ;;
esac
