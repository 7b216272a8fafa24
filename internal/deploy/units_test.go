package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

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
		if compareUnits(u, unitOf(a)) != unaffected {
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
		"Description=a|X-Reload-Triggers=2":                reloads,
		"Description=a|X-Reload-Triggers=2\nAfter=b":       restarts,
	} {
		from, to, _ := strings.Cut(replace, "|")
		if got := compareUnits(unitOf(old), unitOf(strings.Replace(old, from, to, 1))); got != want {
			t.Errorf("%q for %q has the effect %d, want %d", to, from, got, want)
		}
	}
	if got := compareUnits(unitOf("[Unit]\nX-Reload-Triggers=1\n"), unitFile{}); got != unaffected {
		t.Errorf("no trigger any more has the effect %d", got)
	}
}

func TestPredictUnits(t *testing.T) {
	const service = "[Service]\nExecStart=old\n"
	var running runningUnits
	running.own, running.active = map[string]bool{}, map[string]bool{"multi-user.target": true, "sock.socket": true}
	system := fstest.MapFS{}
	unit := func(name, before, after string) {
		running.own[name], running.active[name] = true, true
		running.units = append(running.units, runningUnit{name: name, fragment: "/" + unitDir + "/" + name, file: unitOf(before)})
		if after != "" {
			system[name] = &fstest.MapFile{Data: []byte(after)}
		}
	}
	changed := func(lines string) string { return "[Service]\nExecStart=new\n" + lines }
	unit("same.service", service, service)
	unit("web.service", service, changed(""))
	unit("direct.service", service, changed("X-StopIfChanged=false\n"))
	unit("kept.service", service, changed("X-RestartIfChanged=false\n"))
	unit("refuses.service", service, changed("[Unit]\nRefuseManualStop=yes\n"))
	unit("reloaded.service", service, changed("X-ReloadIfChanged=true\n"))
	unit("triggered.service", service, service+"[Unit]\nX-Reload-Triggers=1\n")
	unit("gone.service", service, "")
	unit("stays.service", "[Unit]\nX-StopOnRemoval=false\n", "")
	unit("masked.service", service, "x")
	system["masked.service"].Mode = fs.ModeDevice
	unit("sock.service", service, changed(""))
	unit("sock.socket", "", "[Socket]\nListenStream=1\n")
	unit("a.slice", "", "[Slice]\nCPUWeight=1\n")
	unit("graphical.target", "", "[Unit]\nAfter=x\n")
	unit("-.mount", "[Mount]\nWhat=a\n", "[Mount]\nWhat=b\n")
	unit("srv.mount", "[Mount]\nWhat=a\n", "[Mount]\nWhat=b\n")
	unit("getty@tty1.service", service, "")
	running.units[len(running.units)-1].fragment = "/" + unitDir + "/getty@.service"
	system["getty@.service"] = &fstest.MapFile{Data: []byte(changed(""))}
	unit("vpn@home.service", service, "")
	running.units[len(running.units)-1].fragment = "/" + unitDir + "/vpn@.service"
	running.units[len(running.units)-1].instance = true
	system["vpn@.service"] = &fstest.MapFile{Data: []byte(service)}
	unit("dropped.service", service, service)
	system["dropped.service.d/overrides.conf"] = &fstest.MapFile{Data: []byte("[Service]\nUser=x\n")}
	for link, file := range map[string]string{"multi-user.target.wants/new.service": "x", "sleep.target.wants/asleep.service": "x", "multi-user.target.requires/same.service": ""} {
		system[link] = &fstest.MapFile{}
		if file != "" {
			system[strings.SplitN(link, "/", 2)[1]] = &fstest.MapFile{}
		}
	}
	want := Units{
		Stop:    []string{"gone.service", "masked.service", "vpn@home.service"},
		Restart: []string{"direct.service", "dropped.service", "getty@tty1.service", "sock.service", "sock.socket", "srv.mount", "web.service"},
		Reload:  []string{"-.mount", "reloaded.service", "triggered.service"},
		Start:   []string{"new.service"},
		Keep:    []string{"kept.service", "refuses.service"},
	}
	got, err := predictUnits(running, system)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPredictJobs(t *testing.T) {
	digest := func(text string) string { sum := sha256.Sum256([]byte(text)); return hex.EncodeToString(sum[:]) }
	system := fstest.MapFS{}
	for file, text := range map[string]string{"Library/LaunchDaemons/org.same.plist": "a", "Library/LaunchDaemons/org.changed.plist": "b", "user/Library/LaunchAgents/org.new.plist": "c"} {
		system[file] = &fstest.MapFile{Data: []byte(text)}
	}
	got, err := predictJobs(map[string]string{
		"Library/LaunchDaemons/org.same.plist": digest("a"), "Library/LaunchDaemons/org.changed.plist": digest("a"), "Library/LaunchAgents/org.gone.plist": digest("a"),
	}, system)
	if diff := cmp.Diff(Units{Stop: []string{"org.gone"}, Restart: []string{"org.changed"}, Start: []string{"org.new"}}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

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
job=abc Library/LaunchDaemons/with space.plist
complete=yes
own=a.service
active=a.service
active=ssh.service
Id=a.service
FragmentPath=/etc/systemd/system/a.service
DropInPaths=/etc/systemd/system/a.service.d/o.conf /run/systemd/system/a.service.d/foreign.conf

Id=ssh.service
FragmentPath=/usr/lib/systemd/system/ssh.service
DropInPaths=

Id=ended.service
FragmentPath=/etc/systemd/system/ended.service
DropInPaths=

Id=x@1.service
FragmentPath=/etc/systemd/system/x@.service
DropInPaths=/etc/systemd/system/x@1.service.d/o.conf

Id=none.scope
FragmentPath=
files
# /etc/systemd/system/a.service
[Service]
# /a/comment
ExecStart=a

# /etc/systemd/system/a.service.d/o.conf
[Service]
User=u

# /run/systemd/system/a.service.d/foreign.conf
[Service]
Group=foreign

# /usr/lib/systemd/system/ssh.service
[Service]
ExecStart=sshd

# /etc/systemd/system/x@.service
[Service]
ExecStart=x

# /etc/systemd/system/x@1.service.d/o.conf
[Service]
User=x
`)
	if err != nil {
		t.Fatal(err)
	}
	want := found{
		closure: closure{"/nix/store/a": 10, "/nix/store/b": 20}, lacks: []string{"/nix/store/c"},
		booted: map[string]string{"kernel": "/nix/store/k/bzImage"}, init: "systemd 1",
		jobs: map[string]string{"Library/LaunchDaemons/with space.plist": "abc"},
		units: runningUnits{
			own: map[string]bool{"a.service": true}, active: map[string]bool{"a.service": true, "ssh.service": true},
			units: []runningUnit{
				{name: "a.service", fragment: "/etc/systemd/system/a.service", file: unitFile{"Service": {"ExecStart": {"a"}, "User": {"u"}}}},
				{name: "x@1.service", fragment: "/etc/systemd/system/x@.service", instance: true, file: unitFile{"Service": {"ExecStart": {"x"}, "User": {"x"}}}},
			},
		},
	}
	if diff := cmp.Diff(want, f, cmp.AllowUnexported(found{}, runningUnits{}, runningUnit{})); diff != "" {
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
	f.Add("os=\ncomplete=\nId=a\nFragmentPath=/etc/systemd/system/a\nDropInPaths=b c\nfiles\n# /etc/systemd/system/a\nx\n# b\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseFound(text)
		if err != nil {
			return
		}
		if _, err := predictUnits(found.units, fstest.MapFS{"a": &fstest.MapFile{}}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
