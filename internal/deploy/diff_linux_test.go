package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/deploy/units"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
	"github.com/google/go-cmp/cmp"
)

// withUnits is a system with unit files, by name, which its activation puts into
// place and starts; size makes it larger. A drop-in keeps keeps.service running, there
// is a file system on a device of this version, and only a reboot may bring up its dbus.
func withUnits(version string, size int, units map[string]string) system {
	var build, start strings.Builder
	fmt.Fprintf(&build, "$b mkdir -p $out/etc/systemd/system; echo %s > $out/kernel; echo systemd 1 > $out/init-interface-version\n", version)
	fmt.Fprintf(&build, "printf '{\n\"dbus\": \"%s\", \"v%s\": \"\"}' > $out/switch-inhibitors\n", version, version)
	fmt.Fprintf(&build, "$b dd if=/dev/zero of=$out/ballast bs=1000 count=%d 2>/dev/null\n", size)
	fmt.Fprintf(&build, "echo '/dev/none%s /srv ext4' > $out/etc/fstab; $b mkdir $out/etc/systemd/system/keeps.service.d; printf '[Service]\\nX-RestartIfChanged=false\\n' > $out/etc/systemd/system/keeps.service.d/overrides.conf\n", version)
	start.WriteString("mkdir -p /etc/systemd/system/keeps.service.d\ncat $system/etc/systemd/system/keeps.service.d/overrides.conf > /etc/systemd/system/keeps.service.d/overrides.conf\n")
	for name, line := range units {
		fmt.Fprintf(&build, "printf '[Service]\\nExecStart=/bin/sleep 1000\\n%s\\n' > $out/etc/systemd/system/%s\n", line, name)
		fmt.Fprintf(&start, "cat $system/etc/systemd/system/%s > /etc/systemd/system/%[1]s\n", name)
	}
	return system{version: version, build: build.String(), after: "system=$(readlink /run/current-system)\n" + start.String() +
		"/usr/bin/systemctl daemon-reload\n/usr/bin/systemctl start " + strings.Join(keys(units), " ") + "\nln -sfn $system /run/booted-system"}
}

func keys(m map[string]string) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	return list
}

// What an update would change is told without changing anything.
func TestDiff(t *testing.T) {
	n := testhost.NewNetwork(t)
	full := testhost.Full(t, n, testhost.Options{Name: "full"})
	light := testhost.Lights(t, n, testhost.Options{Name: "mac"}, testhost.Options{Name: "new"}, testhost.Options{Name: "builder"})
	builder, light := light[2], light[:2:2]
	on(t, builder, "nix-store", "--init") // two that do so at once may fail
	x, folder := newNix(t), t.TempDir()
	d := newDeployer(t, sshOptions(x, &recorder{}, n))
	job := func(version, file, text string) system {
		return system{version: version, class: flake.Darwin, build: fmt.Sprintf("$b mkdir -p $out/Library/LaunchDaemons; echo %s > $out/Library/LaunchDaemons/org.%s.plist", text, file)}
	}
	first := flakeOf(t, x, map[string]system{
		"full":   withUnits("1", 10, map[string]string{"web.service": "User=root", "keeps.service": "", "gone.service": "", "same.service": ""}),
		"folder": {version: "1"}, "mac": job("1", "web", "one"),
	})
	second := flakeOf(t, x, map[string]system{
		"full":   withUnits("2", 500, map[string]string{"web.service": "User=nobody", "keeps.service": "User=nobody", "same.service": ""}),
		"folder": {version: "2"}, "mac": job("2", "web", "two"), "new": {version: "1"}, "gone": {version: "1"},
	})
	class := map[string]flake.Class{"mac": flake.Darwin}
	machines := func(tops map[string]flake.Derivation) (list []deploy.Machine) {
		for name, top := range tops {
			address := "ssh://" + name
			if name == "folder" {
				address = "root:" + folder + "/folder"
			}
			kind := class[name]
			if kind == "" {
				kind = flake.NixOS
			}
			list = append(list, machine(name, kind, address, top))
		}
		return list
	}
	if summary := d.Update(t.Context(), machines(first)); summary.ExitCode() != 0 {
		t.Fatalf("%v", summary.Err())
	}
	for _, diff := range d.Diff(t.Context(), machines(first)) {
		if !diff.Same() || diff.Generation != 1 || len(diff.Rows()) != 1 {
			t.Errorf("%s differs from itself: %+v", diff.Machine, diff)
		}
	}

	look := func() string {
		var b strings.Builder
		for _, h := range append(light, full) {
			b.WriteString(on(t, h, "sh", "-c", "ls /nix/store /run/fleet /var/lib/fleet /run/nixos 2>&1; readlink /run/current-system; cat /var/log/activations 2>&1 || true"))
		}
		return b.String()
	}
	before := look()
	diffs := map[string]deploy.Diff{}
	for _, diff := range d.Diff(t.Context(), machines(second)) {
		diffs[diff.Machine] = diff
	}
	// Where a system was built, the same is known of it.
	o := sshOptions(x, &recorder{}, n)
	o.BuildHost = "ssh://builder"
	for _, diff := range newDeployer(t, o).Diff(t.Context(), machines(second)) {
		switch here := diffs[diff.Machine]; diff.Machine {
		case "gone":
		case "folder":
			if diff.Err == nil || !strings.Contains(diff.Err.Error(), "build for it here") {
				t.Errorf("a folder with a build host: %+v", diff.Result)
			}
		default:
			if text := cmp.Diff(here, diff); text != "" {
				t.Errorf("%s, if it is built elsewhere: %s", diff.Machine, text)
			}
			if !hostFile(builder, diff.To) {
				t.Errorf("%s was not built on the build host", diff.Machine)
			}
		}
	}
	if after := look(); after != before {
		t.Errorf("the machines were changed:\n%s", cmp.Diff(before, after))
	}

	want := map[string]deploy.Diff{
		"full":   {Units: &units.Changes{Stop: []string{"gone.service"}, Restart: []string{"srv.mount", "web.service"}, Keep: []string{"keeps.service"}}, Reboot: []string{"dbus", "kernel"}},
		"mac":    {Units: &units.Changes{Restart: []string{"org.web"}}},
		"folder": {}, "new": {},
	}
	tools := diffs["new"].Packages[1]
	for name, w := range want {
		got := diffs[name]
		if got.Err != nil {
			t.Errorf("%s: %v", name, got.Err)
			continue
		}
		if got.From != first[name].OutPath || got.To != second[name].OutPath {
			t.Errorf("%s: from %s to %s", name, got.From, got.To)
		}
		if diff := cmp.Diff(w.Units, got.Units); diff != "" {
			t.Errorf("the units of %s: %s", name, diff)
		}
		if diff := cmp.Diff(w.Reboot, got.Reboot); diff != "" {
			t.Errorf("a reboot of %s: %s", name, diff)
		}
		paths, shared := 1, tools.Bytes // which all but the new one have
		if name == "new" {
			paths, shared = 2, 0
		}
		if !got.Copy.Known || got.Copy.Paths != paths || got.Copy.Bytes != got.After-shared {
			t.Errorf("to copy to %s: %+v of %d bytes", name, got.Copy, got.After)
		}
		if (got.Before == 0) != (name == "new") || got.After == 0 {
			t.Errorf("%s: %d bytes before, %d after", name, got.Before, got.After)
		}
		if len(got.Packages) != paths || got.Packages[0].Name != "system-"+name {
			t.Errorf("%s: packages %+v", name, got.Packages)
		}
	}
	if p := diffs["full"].Packages[0]; !cmp.Equal(p.Before, []string{"1"}) || !cmp.Equal(p.After, []string{"2"}) || p.Bytes < 480_000 || p.Bytes > 500_000 {
		t.Errorf("the package of full: %+v", p)
	}
	if got := diffs["gone"]; got.Phase != deploy.Reach || got.Err == nil {
		t.Errorf("gone: %+v", got.Result)
	}

	// A machine that builds for itself needs nothing more.
	o.BuildHost, o.BuildOnTarget = "", true
	for _, diff := range newDeployer(t, o).Diff(t.Context(), []deploy.Machine{machine("mac", flake.Darwin, "ssh://mac", second["mac"])}) {
		here := diffs["mac"]
		here.Copy = deploy.CopySize{Known: true}
		if text := cmp.Diff(here, diff); text != "" {
			t.Errorf("what builds for itself: %s", text)
		}
	}

	// The order of things is the same as in an update that does it.
	if summary := d.Update(t.Context(), machines(second)); summary.Count(deploy.Done) != 4 {
		t.Fatalf("%v", summary.Err())
	}
	for _, diff := range d.Diff(t.Context(), machines(second)) {
		if diff.Machine != "gone" && !diff.Same() {
			t.Errorf("%s after its update: %+v", diff.Machine, diff)
		}
	}
}
