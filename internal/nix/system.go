package nix

import "runtime"

// System is the platform of this program as Nix names it, such as
// "x86_64-linux". It starts no process.
func System() string { return system(runtime.GOOS, runtime.GOARCH) }

func system(goos, goarch string) string {
	arch := map[string]string{
		"amd64":   "x86_64",
		"arm64":   "aarch64",
		"386":     "i686",
		"arm":     "armv7l",
		"ppc64le": "powerpc64le",
	}[goarch]
	if arch == "" {
		arch = goarch
	}
	return arch + "-" + goos
}
