package nix

import "strings"

// What nix and the programs that it starts (git, ssh, curl) need of the
// environment. Everything else stays here: SOPS_AGE_KEY, FLEET_PROMPT_* and
// whatever tokens the user's shell carries are no business of an evaluation or
// of an unsandboxed builder.
var (
	envNames = map[string]bool{
		"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "SHELL": true,
		"TMPDIR": true, "LANG": true, "LANGUAGE": true, "LOCALE_ARCHIVE": true, "TZ": true, "TZDIR": true,
		"SSL_CERT_FILE": true, "SSL_CERT_DIR": true, "CURL_CA_BUNDLE": true,
		"SSH_AUTH_SOCK": true, "GIT_SSH": true, "GIT_SSH_COMMAND": true,
		"GIT_CONFIG_GLOBAL": true, "GIT_CONFIG_SYSTEM": true, "GIT_CONFIG_NOSYSTEM": true,
		"http_proxy": true, "https_proxy": true, "ftp_proxy": true, "all_proxy": true, "no_proxy": true,
		"HTTP_PROXY": true, "HTTPS_PROXY": true, "FTP_PROXY": true, "ALL_PROXY": true, "NO_PROXY": true,
	}
	// AWS_ serves binary caches on S3, NIXPKGS_ the likes of NIXPKGS_ALLOW_UNFREE.
	envPrefixes = []string{"NIX_", "NIXPKGS_", "XDG_", "LC_", "AWS_", "GC_", "DYLD_"}
)

// cleanEnv returns what nix is given of env, and the settings that keep its
// helpers from asking on a terminal.
func cleanEnv(env []string) []string {
	var out []string
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); envAllowed(name) {
			out = append(out, kv)
		}
	}
	return append(out, "GIT_TERMINAL_PROMPT=0", "TERM=dumb", "NO_COLOR=1")
}

func envAllowed(name string) bool {
	if envNames[name] {
		return true
	}
	for _, p := range envPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
