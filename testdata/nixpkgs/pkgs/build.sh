# The builder of mkDerivation: buildCommand alone, or unpack, build, install.
set -eu
export HOME=/homeless-shelter

if [ -n "${buildCommandPath-}" ]; then
	. "$buildCommandPath"
	exit
elif [ -n "${buildCommand-}" ]; then
	eval "$buildCommand"
	exit
fi

if [ -n "${src-}" ]; then
	if [ -d "$src" ]; then
		cp -r "$src" source
		chmod -R u+w source
		cd source
	elif [ -z "${dontUnpack-}" ]; then
		mkdir source
		cd source
		tar xf "$src"
	fi
fi
eval "${patchPhase-}"
eval "${configurePhase-}"
eval "${buildPhase-}"
if [ -z "${installPhase-}" ]; then
	echo "the offline nixpkgs runs no make: give an installPhase or a buildCommand" >&2
	exit 1
fi
eval "$installPhase"
