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
complete=yes
unit=a.service
unit=multi-user.target.wants/a.service
file=init-interface-version
 systemd 1
file=switch-inhibitors
 { "dbus":
  "a" }
file=etc/fstab
 /dev/a / ext4
 
file=etc/systemd/system/a.service
 [Service]
 # file=a.service
file=etc/systemd/system/a.service.d/o.conf
 file=x
file=etc/systemd/system/empty.service
file=Library/LaunchDaemons/with space.plist
 <plist>
part=kernel /nix/store/l/bzImage
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
`)
	if err != nil {
		t.Fatal(err)
	}
	want := found{
		system: system{
			closure: closure{"/nix/store/a": 10, "/nix/store/b": 20},
			parts:   map[string]string{"kernel": "/nix/store/l/bzImage"}, init: "systemd 1", inhibitors: "{ \"dbus\":\n \"a\" }\n",
			units: units.System{
				Units: units.Folder{
					Names: map[string]bool{"a.service": true, "multi-user.target.wants/a.service": true},
					Texts: map[string]string{"a.service": "[Service]\n# file=a.service\n", "a.service.d/o.conf": "file=x\n", "empty.service": ""},
				},
				Fstab: "/dev/a / ext4\n\n",
				Jobs:  map[string]string{"Library/LaunchDaemons/with space.plist": "<plist>\n"},
			},
		},
		booted: map[string]string{"kernel": "/nix/store/k/bzImage"}, lacks: []string{"/nix/store/c"},
		active: map[string]bool{"a.service": true, "ssh.service": true}, own: []string{"a.service", "x@1.service"},
	}
	if diff := cmp.Diff(want, f, cmp.AllowUnexported(found{}, system{})); diff != "" {
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
	f.Add("os=\ncomplete=\nunit=a\nfile=etc/fstab\n /a / b c\nfile=etc/systemd/system/a\n [Unit]\nfile=etc/systemd/system/a.d/b.conf\n x=y\nId=a\nFragmentPath=/etc/systemd/system/a\n")
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
