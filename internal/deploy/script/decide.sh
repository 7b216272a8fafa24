# Says what is to become of a deploy that waits for it, and prints what was
# decided, perhaps by another; gone, early or stranger if nothing was.
# $1: the deploy's name, $2: confirmed or rejected; the deploy's token on stdin
# shellcheck disable=SC2154 # run and state are from the prelude
dir=$state/$1
read -r token
read_plan "$dir/plan"
if [ ! -d "$dir" ]; then
  echo gone
elif [ -e "$dir/decision" ]; then
  cat "$dir/decision"
elif [ -z "$token" ] || [ "$token" != "$plan_token" ]; then
  echo stranger
elif [ ! -e "$dir/code" ] || [ ! -d "$run/fleet/$1" ]; then
  echo early # or after a restart, which its supervisor has yet to see
else
  ln "$dir/$2" "$dir/decision" 2>/dev/null
  cat "$dir/decision"
fi
