package deploy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/deploy/units"
)

func TestParseFound(t *testing.T) {
	f, err := parseFound(`Welcome!
os=Linux
lacks=/nix/store/c
path=/nix/store/a
path=/nix/store/b
size=10
size=20
booted=kernel /nix/store/k/bzImage
init=systemd 1
inhibitors={ "dbus": "a" }
job=abc Library/LaunchDaemons/with space.plist
complete=yes
own=a.service
own=multi-user.target.wants/a.service
fstab=/dev/a / ext4
fstab=
active=a.service
active=ssh.service
Id=a.service
FragmentPath=/etc/systemd/system/a.service

Id=ssh.service
FragmentPath=/usr/lib/systemd/system/ssh.service

Id=x@1.service
FragmentPath=/etc/systemd/system/x@.service

Id=x@1.service
FragmentPath=/etc/systemd/system/x@.service

Id=none.scope
FragmentPath=
files
file=a.service
 [Service]
 # file=a.service
file=a.service.d/o.conf
 file=x
`)
	if err != nil {
		t.Fatal(err)
	}
	want := found{
		closure: closure{"/nix/store/a": 10, "/nix/store/b": 20}, lacks: []string{"/nix/store/c"},
		booted: map[string]string{"kernel": "/nix/store/k/bzImage"}, init: "systemd 1", inhibitors: `{ "dbus": "a" }`,
		jobs: map[string]string{"Library/LaunchDaemons/with space.plist": "abc"},
		units: units.Running{
			Active: map[string]bool{"a.service": true, "ssh.service": true},
			Own:    []string{"a.service", "x@1.service"},
			Files: units.Folder{
				Names: map[string]bool{"a.service": true, "multi-user.target.wants/a.service": true},
				Texts: map[string]string{"a.service": "[Service]\n# file=a.service\n", "a.service.d/o.conf": "file=x\n"},
			},
			Fstab: "/dev/a / ext4\n\n",
		},
	}
	if diff := cmp.Diff(want, f, cmp.AllowUnexported(found{})); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"locked\n":                       `printed "locked"`,
		"os=Linux\n":                     "does not tell all",
		"os=Linux\npath=a\ncomplete=y\n": "1 paths, 0 sizes",
		"os=Linux\nsize=big\n":           "no number",
	} {
		if _, err := parseFound(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseFound(f *testing.F) {
	f.Add("os=\ncomplete=\nown=a\nfstab=/a / b c\nId=a\nFragmentPath=/etc/systemd/system/a\nfiles\nfile=a\n [Unit]\nfile=a.d/b.conf\n x=y\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseFound(text)
		if err != nil {
			return
		}
		if len(found.closure) > len(text) {
			t.Errorf("%q has a closure of %d", text, len(found.closure))
		}
	})
}
