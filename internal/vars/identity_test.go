package vars

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
)

func TestIdentities(t *testing.T) {
	for name, want := range map[string]string{
		"ssh-host-key/id_ed25519":           "an ssh key",
		"openssh/ssh.id_ed25519":            "an ssh key",
		"sshd/ssh_host_rsa_key":             "an ssh key",
		"ssh-ca/ca":                         "a certificate authority",
		"tls/ca.key":                        "a certificate authority",
		"zerotier/zerotier-identity-secret": "a zerotier identity",
		"age/key.txt":                       "an age key",
		"backup-age-key/private":            "an age key",
		"wireguard-keys-home/privatekey":    "a wireguard key",
		"wg0/key":                           "a wireguard key",
		"tor_web/hs_ed25519_secret_key":     "the key of a tor service",
		"mesh/node-identity":                "an identity",
		"monitor/token":                     "",
		"wifi/password":                     "",
		"image/key":                         "",
		"cascade/token":                     "",
		"machine-id/machineId":              "",
	} {
		generator, file, _ := strings.Cut(name, "/")
		if got := namedIdentity(generator, file); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w := newWorld(t, one(gen("ssh-host-key", `echo > $out/id_ed25519; echo > $out/id_ed25519.pub`, "id_ed25519", "id_ed25519.pub:public")))
	rotate := Request{Regenerate: []string{"ssh-host-key"}}
	if got := w.plan(rotate).Identities(); len(got) > 0 {
		t.Errorf("nothing is replaced yet: %q", got)
	}
	w.generate(Request{})
	if diff := cmp.Diff([]string{"ssh-host-key on web, an ssh key"}, w.plan(rotate).Identities()); diff != "" {
		t.Error(diff)
	}
}

// What is built in is told by its kind, whatever its name.
func TestBuiltinIdentity(t *testing.T) {
	for kind, want := range map[string]string{
		"ssh-key": "an ssh key", "age-key": "an age key", "wireguard": "a wireguard key", "x509-ca": "a certificate authority",
		"token": "", "password": "", "x509-leaf": "",
	} {
		g := gen("host-key-of-ssh", "", "secret", "open:public")
		g.Builtin = &flake.Builtin{Kind: kind}
		if got := identity(g, []string{"open", "secret"}); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
		if got := identity(g, []string{"open"}); got != "" {
			t.Errorf("%s: %q for what is public", kind, got)
		}
	}
}
