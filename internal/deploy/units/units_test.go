package units

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unitOf(text string) unitFile {
	u := unitFile{}
	u.read(text)
	return u
}

func TestReadUnitFile(t *testing.T) {
	u := unitOf("# x=y\n; x=y\n[Unit]\nDescription = one \\\n  two\nAfter=a\nAfter=b\n\n[Service]\nExecStart=x\nExecStart=\nExecStart=y\nnonsense\nX-StopIfChanged=false")
	u.read("[Unit]\nAfter=\nAfter=c\n")
	want := unitFile{
		"Unit":    {"Description": {"one    two"}, "After": {"c"}},
		"Service": {"ExecStart": {"y"}, "X-StopIfChanged": {"false"}},
	}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Error(diff)
	}
	if u.flag("Service", "X-StopIfChanged", true) || !u.flag("Service", "X-RestartIfChanged", true) {
		t.Error("the flags are read wrong")
	}
}

func FuzzReadUnitFile(f *testing.F) {
	f.Add("[Unit]\nA=b\\\n", "[Unit]\nA=\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		u := unitOf(a)
		if compareFiles(u, unitOf(a)) != unaffected {
			t.Errorf("%q differs from itself", a)
		}
		u.read(b)
	})
}

// The rules are those of NixOS's switch-to-configuration.
func TestCompareUnits(t *testing.T) {
	const old = "[Unit]\nDescription=a\nX-Restart-Triggers=1\n[Service]\nExecStart=a\nExecReload=a\n[Mount]\nOptions=a\n[Install]\nWantedBy=a\n"
	for replace, want := range map[string]unitEffect{
		"=1|=1": unaffected,
		"Description=a|Description=b\nDocumentation=man:b": unaffected,
		"WantedBy=a|WantedBy=b":                            unaffected,
		"Triggers=1|Triggers=2":                            restarts,
		"ExecStart=a|ExecStart=b":                          restarts,
		"ExecStart=a|ExecStart=a\nUser=b":                  restarts,
		"ExecStart=a\n|":                                   restarts,
		"ExecReload=a|ExecReload=b":                        reloads,
		"ExecReload=a\n|":                                  unaffected,
		"Options=a|Options=b":                              reloads,
		"[Mount]\nOptions=a\n|":                            restarts,
		"Options=a|Type=a":                                 restarts,
		"Options=a\n|":                                     restarts,
		"[Install]|[Socket]\n[Install]":                    restarts,
		"ExecReload=a|ExecReload=a\nUser=":                 restarts,
		"Description=a|X-Reload-Triggers=":                 reloads,
		"Description=a|X-Reload-Triggers=2":                reloads,
		"Description=a|X-Reload-Triggers=2\nAfter=b":       restarts,
	} {
		from, to, _ := strings.Cut(replace, "|")
		if got := compareFiles(unitOf(old), unitOf(strings.Replace(old, from, to, 1))); got != want {
			t.Errorf("%q for %q has the effect %d, want %d", to, from, got, want)
		}
	}
	for _, test := range []struct {
		before, after string
		want          unitEffect
	}{
		{"[Unit]\nX-Reload-Triggers=1\n", "", unaffected},
		{"[Unit]\nAfter=a\n", "", restarts},
		{"", "[Unit]\nDocumentation=a\n", unaffected},
		{"", "[Unit]\nX-Reload-Triggers=1\n", reloads},
		{"", "[Service]\nExecReload=a\n", reloads},
		{"[Service]\nExecReload=a\n", "", unaffected},
		{"", "[Service]\nExecReload=a\nUser=b\n", restarts},
		{"", "[Service]\n", restarts},
		{"", "[Unit]\nDocumentation=a\n[Service]\nExecReload=a\n", restarts},
		{"", "[Install]\nWantedBy=a\n[Unit]\nDocumentation=a\n", unaffected},
		{"[Mount]\nWhat=a\n", "[Mount]\nWhat=a\nOptions=b\n", restarts},
	} {
		if got := compareFiles(unitOf(test.before), unitOf(test.after)); got != test.want {
			t.Errorf("%q after %q has the effect %d, want %d", test.after, test.before, got, test.want)
		}
	}
}

// masked stands for a link to /dev/null.
const masked = "masked"

// systemOf is a system with unit files, and /etc/fstab if it is among them.
func systemOf(files map[string]string) System {
	system := System{Units: NewFolder(), Fstab: files["fstab"]}
	for name, text := range files {
		if name == "fstab" {
			continue
		}
		system.Units.Names[name] = true
		if text != masked {
			system.Units.Texts[name] = text
		}
	}
	return system
}

func TestPredictUnits(t *testing.T) {
	const (
		service, changed = "[Service]\nExecStart=old\n", "[Service]\nExecStart=new\n"
		before, after    = "[Service]\nUser=a\n", "[Service]\nUser=b\n"
	)
	type files = map[string]string
	for _, test := range []struct {
		name          string
		active        string // what runs; the first of it before a bar is the system's
		before, after files
		want          Changes
	}{
		{"same", "a.service", files{"a.service": service}, files{"a.service": service}, Changes{}},
		{"changed", "a.service", files{"a.service": service}, files{"a.service": changed}, Changes{Restart: []string{"a.service"}}},
		{"not running", "", files{"a.service": service}, files{"a.service": changed}, Changes{}},
		{"of the host", "|a.service", files{"a.service": service}, files{"a.service": changed}, Changes{}},
		{"restart at once", "a.service", files{"a.service": service}, files{"a.service": changed + "X-StopIfChanged=false\n"}, Changes{Restart: []string{"a.service"}}},
		{"not to be restarted", "a.service", files{"a.service": service}, files{"a.service": changed + "X-RestartIfChanged=false\n"}, Changes{Keep: []string{"a.service"}}},
		{"not to be stopped", "a.service", files{"a.service": service}, files{"a.service": changed + "[Unit]\nRefuseManualStop=yes\n"}, Changes{Keep: []string{"a.service"}}},
		{"started by hand", "a.service", files{"a.service": service}, files{"a.service": changed + "[Unit]\nX-OnlyManualStart=on\n"}, Changes{Keep: []string{"a.service"}}},
		{"reload instead", "a.service", files{"a.service": service}, files{"a.service": changed + "X-ReloadIfChanged=true\nX-RestartIfChanged=false\n"}, Changes{Reload: []string{"a.service"}}},
		{"reload trigger", "a.service", files{"a.service": service}, files{"a.service": service + "[Unit]\nX-Reload-Triggers=1\n"}, Changes{Reload: []string{"a.service"}}},
		{"gone", "a.service", files{"a.service": service}, nil, Changes{Stop: []string{"a.service"}}},
		{"gone but stays", "a.service", files{"a.service": "[Unit]\nX-StopOnRemoval=false\n"}, nil, Changes{}},
		{"masked", "a.service", files{"a.service": service}, files{"a.service": masked}, Changes{Stop: []string{"a.service"}}},
		{"drop-in", "a.service", files{"a.service": service}, files{"a.service": service, "a.service.d/overrides.conf": after}, Changes{Restart: []string{"a.service"}}},
		{"drop-ins in order", "a.service", files{"a.service": service}, files{"a.service": service, "a.service.d/1.conf": after, "a.service.d/2.conf": "[Service]\nUser=\nUser=c\n[Service]\nX-RestartIfChanged=false\n"}, Changes{Keep: []string{"a.service"}}},
		{"drop-in is masked", "a.service", files{"a.service": service, "a.service.d/1.conf": masked}, files{"a.service": service}, Changes{}},
		{"drop-in of a name with a backslash", `a\x2db.service`, files{`a\x2db.service`: service, `a\x2db.service.d/o.conf`: before}, files{`a\x2db.service`: service, `a\x2db.service.d/o.conf`: after}, Changes{Restart: []string{`a\x2db.service`}}},

		{"socket", "a.service a.socket", files{"a.service": service, "a.socket": ""}, files{"a.service": changed, "a.socket": "[Socket]\nListenStream=1\n"}, Changes{Stop: []string{"a.service"}, Restart: []string{"a.socket"}}},
		{"socket of the host", "a.service|a.socket", files{"a.service": service}, files{"a.service": changed}, Changes{Restart: []string{"a.service"}, Stop: []string{"a.socket"}}},
		{"socket is new", "a.service", files{"a.service": service}, files{"a.service": changed, "a.socket": ""}, Changes{Stop: []string{"a.service"}}},
		{"socket is masked", "a.service a.socket", files{"a.service": service, "a.socket": ""}, files{"a.service": changed, "a.socket": masked}, Changes{Stop: []string{"a.service", "a.socket"}}},
		{"socket goes", "a.service a.socket", files{"a.service": service, "a.socket": ""}, files{"a.service": changed}, Changes{Restart: []string{"a.service"}, Stop: []string{"a.socket"}}},
		{"socket does not activate", "a.service a.socket", files{"a.service": service, "a.socket": ""}, files{"a.service": changed + "X-NotSocketActivated=true\n", "a.socket": ""}, Changes{Restart: []string{"a.service", "a.socket"}}},
		{"socket and restart at once", "a.service a.socket", files{"a.service": service, "a.socket": ""}, files{"a.service": changed + "X-StopIfChanged=false\n", "a.socket": ""}, Changes{Restart: []string{"a.service"}}},
		{"sockets by name", "a.service b.socket c.socket", files{"a.service": service, "b.socket": "", "c.socket": ""}, files{"a.service": changed + "Sockets=b.socket c.socket\n", "a.socket": "", "b.socket": "", "c.socket": ""}, Changes{Stop: []string{"a.service"}, Restart: []string{"b.socket", "c.socket"}}},
		{"socket of a template", "a@1.service a.socket", files{"a@.service": service, "a.socket": ""}, files{"a@.service": changed, "a.socket": ""}, Changes{Stop: []string{"a@1.service"}, Restart: []string{"a.socket"}}},

		{"slice, path, socket", "a.slice a.path a.socket", files{"a.slice": "", "a.path": "", "a.socket": ""}, files{"a.slice": "[Slice]\nCPUWeight=1\n", "a.path": "[Path]\nPathExists=/\n", "a.socket": "[Socket]\nListenStream=1\n"}, Changes{}},
		{"timer, automount", "a.timer a.automount", files{"a.timer": "", "a.automount": ""}, files{"a.timer": "[Timer]\nOnCalendar=daily\n", "a.automount": "[Automount]\nWhere=/a\n"}, Changes{Restart: []string{"a.automount", "a.timer"}}},
		{"mounts", "-.mount nix.mount a.mount", files{"-.mount": "[Mount]\nWhat=a\n", "nix.mount": "[Mount]\nWhat=a\n", "a.mount": "[Mount]\nWhat=a\n"}, files{"-.mount": "[Mount]\nWhat=b\n", "nix.mount": "[Mount]\nWhat=b\n", "a.mount": "[Mount]\nWhat=b\n"}, Changes{Reload: []string{"-.mount", "nix.mount"}, Restart: []string{"a.mount"}}},
		{"mount options", "a.mount", files{"a.mount": "[Mount]\nOptions=a\n"}, files{"a.mount": "[Mount]\nOptions=b\n"}, Changes{Reload: []string{"a.mount"}}},
		{"target", "a.target", files{"a.target": ""}, files{"a.target": "[Unit]\nAfter=x\nX-StopOnReconfiguration=true\n"}, Changes{}},
		{"target goes", "a.target", files{"a.target": ""}, nil, Changes{Stop: []string{"a.target"}}},

		{"template", "a@1.service", files{"a@.service": service}, files{"a@.service": changed}, Changes{Restart: []string{"a@1.service"}}},
		{"template goes", "a@1.service", files{"a@.service": service}, nil, Changes{Stop: []string{"a@1.service"}}},
		{"instance", "a@1.service", files{"a@.service": service, "a@1.service.d/overrides.conf": before}, files{"a@.service": service, "a@1.service.d/overrides.conf": after}, Changes{Restart: []string{"a@1.service"}}},
		{"instance and template with drop-ins", "a@1.service", files{"a@.service": service, "a@.service.d/overrides.conf": before, "a@1.service.d/overrides.conf": after}, files{"a@.service": service, "a@.service.d/overrides.conf": before, "a@1.service.d/overrides.conf": after}, Changes{}},
		{"instance goes", "a@1.service", files{"a@.service": service, "a@1.service.d/overrides.conf": before}, files{"a@.service": service}, Changes{Stop: []string{"a@1.service"}}},
		{"instance is disabled", "a@1.service", files{"a@.service": service, "a@1.service.d/overrides.conf": before}, files{"a@.service": service, "a@1.service.d/overrides.conf": masked}, Changes{Stop: []string{"a@1.service"}}},
		{"instance by hand is declared", "a@1.service", files{"a@.service": service}, files{"a@.service": service, "a@1.service.d/overrides.conf": after}, Changes{Restart: []string{"a@1.service"}}},
		{"instance gets a file of its own", "a@1.service", files{"a@.service": service}, files{"a@.service": service, "a@1.service": changed}, Changes{}},
		{"instance with a dot", "a@1.2.service", files{"a@.service": service}, files{"a@.service": changed}, Changes{}},

		{"new", "|multi-user.target", nil, files{"a.service": service, "multi-user.target.wants/a.service": service, "b.service": service, "multi-user.target.requires/b.service": service, "c.service": service, "multi-user.target.upholds/c.service": service}, Changes{Start: []string{"a.service", "b.service", "c.service"}}},
		{"enabled", "|multi-user.target", files{"a.service": service}, files{"a.service": service, "multi-user.target.wants/a.service": service}, Changes{Start: []string{"a.service"}}},
		{"enabled and running", "a.service|multi-user.target", files{"a.service": service}, files{"a.service": service, "multi-user.target.wants/a.service": service}, Changes{}},
		{"has ended", "|multi-user.target", files{"a.service": service, "multi-user.target.wants/a.service": service}, files{"a.service": changed, "multi-user.target.wants/a.service": changed}, Changes{}},
		{"new target", "|multi-user.target", nil, files{"b.target": "[Unit]\nWants=c.service\n", "c.service": service, "multi-user.target.wants/b.target": ""}, Changes{Start: []string{"b.target", "c.service"}}},
		{"wanted by a line", "a.target", files{"a.target": ""}, files{"a.target": "[Unit]\nWants=none.service c.service\n", "c.service": service}, Changes{Start: []string{"c.service"}}},
		{"wanted by what is restarted", "a.service b.service", files{"a.service": service, "b.service": service}, files{"a.service": changed, "b.service": service, "a.service.wants/c.service": "", "b.service.wants/d.service": "", "c.service": service, "d.service": service}, Changes{Restart: []string{"a.service"}, Start: []string{"c.service"}}},
		{"wanted by what is not started", "suspend.target a.target b.target|c.target", files{"suspend.target": "", "a.target": "", "b.target": ""}, files{
			"suspend.target": "", "a.target": "[Unit]\nRefuseManualStart=true\n", "b.target": "[Unit]\nX-OnlyManualStart=true\n", "d.target": "",
			"suspend.target.wants/x.service": "", "a.target.wants/x.service": "", "b.target.wants/x.service": "", "d.target.wants/x.service": "", "c.target.wants/none.service": "", "x.service": service,
		}, Changes{}},

		{
			"file systems", "",
			files{"fstab": "# a comment\n/dev/a / ext4 rw 0 1\n/dev/a /nix ext4 rw 0 1\n/dev/b /srv/data ext4 rw\n/dev/c /gone ext4\n/dev/d /auto ext4 x-systemd.automount\n/dev/e /kept-as-it-is ext4 rw\n/dev/s1 none swap\n/dev/s2 none swap pri=1\n"},
			files{"fstab": "/dev/b / ext4 rw 0 1\n/dev/a /nix ext4 ro 0 1\n/dev/B /srv/data ext4 rw\n/dev/e /kept-as-it-is ext4 rw 0 2\n/dev/s2 none swap pri=2\n/dev/disk/by-label/new none swap\n/dev/f /new ext4\n/dev/g /late ext4 noauto\n/dev/h /needed ext4 noauto,x-systemd.automount\n"},
			Changes{
				Stop: []string{"auto.automount", "dev-s1.swap", "gone.mount"}, Restart: []string{"srv-data.mount"}, Reload: []string{"nix.mount"},
				Start: []string{`dev-disk-by\x2dlabel-new.swap`, "needed.automount", "new.mount"}, Keep: []string{"-.mount"},
			},
		},
		{"file system elsewhere", "", files{"fstab": "/dev/a /a ext4 ro\n/dev/b /b ext4 ro\n"}, files{"fstab": "/dev/a /a btrfs ro\n/dev/b /b ext4 rw\n"}, Changes{Restart: []string{"a.mount"}, Reload: []string{"b.mount"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			own, others, _ := strings.Cut(test.active, "|")
			running := Running{System: systemOf(test.before), Active: map[string]bool{}, Own: strings.Fields(own)}
			for _, unit := range strings.Fields(own + " " + others) {
				running.Active[unit] = true
			}
			if diff := cmp.Diff(test.want, Predict(running, systemOf(test.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEscapePath(t *testing.T) {
	for path, want := range map[string]string{"/": "-", "/srv//data/": "srv-data", "/.a/.b-c": `\x2ea-.b\x2dc`, "/dev/ü:_9": `dev-\xc3\xbc:_9`} {
		if got := escapePath(path); got != want {
			t.Errorf("%s is escaped as %s, want %s", path, got, want)
		}
	}
}

func TestPredictJobs(t *testing.T) {
	const daemons, agents = "Library/LaunchDaemons/", "user/Library/LaunchAgents/"
	got := PredictJobs(
		System{Jobs: map[string]string{daemons + "org.same.plist": "a", daemons + "org.changed.plist": "a", agents + "org.gone.plist": "a"}},
		System{Jobs: map[string]string{daemons + "org.same.plist": "a", daemons + "org.changed.plist": "b", agents + "org.new.plist": "c"}},
	)
	if diff := cmp.Diff(Changes{Stop: []string{"org.gone"}, Restart: []string{"org.changed"}, Start: []string{"org.new"}}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzPredict(f *testing.F) {
	f.Add("a.service", "[Unit]\nA=b\n", "/a / b c\n")
	f.Fuzz(func(t *testing.T, name, text, fstab string) {
		if text == masked {
			return
		}
		system := systemOf(map[string]string{name: text, "fstab": fstab})
		running := Running{System: system, Active: map[string]bool{name: true}, Own: []string{name}}
		Predict(running, systemOf(map[string]string{"a": "x", "fstab": "a / b c"}))
		same := Predict(running, system)
		same.Start = nil // of what is there, all may be started for the first time
		if diff := cmp.Diff(Changes{}, same); diff != "" {
			t.Errorf("%q is changed into itself: %s", text, diff)
		}
	})
}
