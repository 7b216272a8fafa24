# Brings the files of a generation into $HOME as links; part of its activation.
state=$HOME/.local/state/home-manager
old=$(readlink -f "$state/current-home" 2>/dev/null || true)

# ours LINK: whether an activation made it.
ours() {
	case $(readlink "$1" || true) in
	/nix/store/*-home-manager-files/*) return 0 ;;
	*) return 1 ;;
	esac
}
filesOf() { (cd "$1/home-files/" 2>/dev/null && find . ! -type d | sed 's|^\./||' | sort); }

checkLinkTargets() {
	local name inTheWay=
	while read -r name; do
		if [ -n "$name" ] && { [ -e "$HOME/$name" ] || [ -L "$HOME/$name" ]; } && ! ours "$HOME/$name"; then
			if [ -n "${HOME_MANAGER_BACKUP_EXT-}" ]; then
				mv "$HOME/$name" "$HOME/$name.$HOME_MANAGER_BACKUP_EXT"
			elif ! cmp -s "$HOME/$name" "$newGeneration/home-files/$name"; then
				echo "Existing file '$HOME/$name' would be clobbered" >&2
				inTheWay=1
			fi
		fi
	done <<<"$(filesOf "$newGeneration")"
	[ -z "$inTheWay" ] || exit 1
}

linkGeneration() {
	local name files
	files=$(readlink -f "$newGeneration/home-files")
	if [ -n "$old" ]; then
		while read -r name; do
			if [ -n "$name" ] && [ ! -e "$files/$name" ] && ours "$HOME/$name"; then
				rm -f "$HOME/$name"
			fi
		done <<<"$(filesOf "$old")"
	fi
	while read -r name; do
		if [ -n "$name" ] && [ "$(readlink "$HOME/$name" || true)" != "$files/$name" ]; then
			mkdir -p "$(dirname "$HOME/$name")"
			ln -sfn "$files/$name" "$HOME/$name"
		fi
	done <<<"$(filesOf "$newGeneration")"
	mkdir -p "$state"
	ln -sfn "$newGeneration" "$state/current-home"
}
