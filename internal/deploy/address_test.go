package deploy

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/ssh"
)

func TestParseAddress(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"root:hosts/a", "root:/fleet/hosts/a"},
		{"root:/mnt/a/", "root:/mnt/a"},
		{"root:../a", "root:/a"},
		{"local", "local"},
		{"ssh://root@cinnabar:2222", "ssh://root@cinnabar:2222"},
		{"root@cinnabar", "ssh://root@cinnabar"},
		{"cinnabar", "ssh://cinnabar"},
		{"ssh://[fd00::1]:22", "ssh://[fd00::1]:22"},
	} {
		a, err := ParseAddress(test.text, "/fleet")
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if a.String() != test.want {
			t.Errorf("%s is %s, want %s", test.text, a, test.want)
		}
		if again, err := ParseAddress(a.String(), ""); err != nil || again != a {
			t.Errorf("%s is not read as it is written: %+v, %v", a, again, err)
		}
	}
}

func TestParseAddressErrors(t *testing.T) {
	for _, test := range []struct{ text, directory, want string }{
		{"", "/fleet", "deploy.targetHost"},
		{"root:", "/fleet", "names no folder"},
		{"root:/", "/fleet", "this computer"},
		{"root:../..", "/fleet", "this computer"},
		{"root:hosts/a", "", "relative"},
		{"http://cinnabar", "/fleet", "cinnabar"},
		{"ssh://root:secret@cinnabar", "/fleet", "password"},
		{"-oProxyCommand=x", "/fleet", "-oProxyCommand"},
	} {
		if a, err := ParseAddress(test.text, test.directory); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v; want %q", test.text, a, err, test.want)
		}
	}
}

func TestCommandsForPeople(t *testing.T) {
	for _, test := range []struct{ address, run, room string }{
		{"ssh://root@cinnabar:2222", "ssh -p 2222 root@cinnabar true", "ssh -p 2222 root@cinnabar nix-collect-garbage --delete-older-than 14d"},
		{"cinnabar?ProxyJump=a,b:1", "ssh -J a,b:1 cinnabar true", "ssh -J a,b:1 cinnabar nix-collect-garbage --delete-older-than 14d"},
		{"cinnabar", "ssh cinnabar true", "ssh cinnabar nix-collect-garbage --delete-older-than 14d"},
		{"local", "true", "nix-collect-garbage --delete-older-than 14d"},
		{"root:/a", "true", "nix store gc --store 'local?root=/a'"},
	} {
		a, err := ParseAddress(test.address, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := a.onTarget("true"); got != test.run {
			t.Errorf("%s: %s, want %s", test.address, got, test.run)
		}
		if got := a.makeRoom(); got != test.room {
			t.Errorf("%s: %s, want %s", test.address, got, test.room)
		}
	}
}

// What a machine names its units does not run here, and reaches its own shell as
// it is.
func TestCommandsWithForeignWords(t *testing.T) {
	for _, unit := range []string{"a.service", `dev-disk-by\x2duuid.mount`, "x'; touch pwned; '.service", "$(touch pwned).service", "*?[a]{b,c}~#!&|<>.service"} {
		words := []string{"printf", "%s", unit}
		for kind, line := range map[string]string{
			"local": Address{Kind: Local}.onTarget(words...),
			"ssh":   Address{Kind: SSH, SSH: ssh.Target{Host: "h"}}.onTarget(words...),
		} {
			shell := exec.Command("bash", "-c", `ssh() { shift; bash -c "$*"; }; `+line)
			shell.Dir = t.TempDir()
			out, err := shell.CombinedOutput()
			if string(out) != unit || err != nil {
				t.Errorf("%s: %s runs as %q, %v", kind, line, out, err)
			}
			if files, _ := os.ReadDir(shell.Dir); len(files) > 0 {
				t.Errorf("%s: %s ran what it names", kind, line)
			}
		}
	}
}
