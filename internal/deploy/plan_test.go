package deploy

import (
	"errors"
	"testing"

	"github.com/crs58/fleet/internal/flake"
)

func TestStepText(t *testing.T) {
	wanted := flake.Derivation{OutPath: "/nix/store/x"}
	for _, test := range []struct {
		step Step
		want string
	}{
		{Step{Wanted: wanted}, "unchanged"},
		{Step{Wanted: wanted, Notes: []string{"has no secrets"}}, "unchanged (has no secrets)"},
		{Step{Wanted: wanted, Activate: true, Build: true, Key: KeyInstall}, "build, copy, install the age key, activate x (first deploy)"},
		{Step{Wanted: wanted, Activate: true, Copy: CopySize{Known: true, Paths: 2, Bytes: 3_000_000}, Key: KeyReplace, Now: Facts{Profile: "/nix/store/y"}}, "copy 2 paths (3.0 MB), replace the age key, activate x"},
		{Step{Wanted: wanted, Activate: true, Copy: CopySize{Known: true, Paths: 1, Bytes: 7}, Key: KeyUnchanged, Now: Facts{Profile: "/nix/store/y"}}, "copy 1 path (7 B), activate x"},
		{Step{Wanted: wanted, Activate: true, Copy: CopySize{Known: true}, Key: KeyNone, Now: Facts{Profile: "/nix/store/y"}}, "nothing to copy, activate x"},
		{Step{Wanted: wanted, Activate: true, Reboot: true, Now: Facts{Profile: "/nix/store/y"}}, "copy, activate x, restart into it if nothing less brings up all of it"},
		{Step{Wanted: wanted, Activate: true, Goal: Reboot, Now: Facts{Profile: "/nix/store/y"}}, "copy, restart into x"},
		{Step{Err: errors.New("no"), Error: "no"}, "failed: no"},
	} {
		if got := test.step.Text(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// What is asked for and what is found say whether a machine is activated, and
// whether it restarts.
func TestAim(t *testing.T) {
	const out, old = "/nix/store/x", "/nix/store/y"
	var (
		before   = Facts{System: old, Booted: old, Profile: old}
		staged   = Facts{System: old, Booted: old, Profile: out}
		switched = Facts{System: out, Booted: old, Profile: out}
		kernel   = Facts{System: out, Booted: old, Profile: out, RebootNeeded: true}
		tested   = Facts{System: out, Booted: old, Profile: old, RebootNeeded: true}
		booted   = Facts{System: out, Booted: out, Profile: out}
	)
	nothing := Step{Goal: Switch}
	for _, test := range []struct {
		goal   Goal
		reboot bool
		class  flake.Class
		now    Facts
		want   Step
	}{
		{Switch, false, flake.NixOS, before, Step{Goal: Switch, Activate: true}},
		{Switch, false, flake.NixOS, kernel, nothing},
		{Boot, false, flake.NixOS, before, Step{Goal: Boot, Activate: true}},
		{Boot, false, flake.NixOS, staged, Step{Goal: Boot}},
		{Switch, true, flake.NixOS, before, Step{Goal: Switch, Activate: true, Reboot: true}},
		{Switch, true, flake.NixOS, staged, Step{Goal: Switch, Activate: true, Reboot: true}},
		{Switch, true, flake.NixOS, switched, Step{Goal: Switch, Reboot: true}},
		{Switch, true, flake.NixOS, kernel, Step{Goal: Reboot, Activate: true}},
		{Switch, true, flake.NixOS, tested, Step{Goal: Reboot, Activate: true}},
		{Switch, true, flake.NixOS, booted, Step{Goal: Switch, Reboot: true}},
		{Boot, true, flake.NixOS, before, Step{Goal: Reboot, Activate: true}},
		{Boot, true, flake.NixOS, staged, Step{Goal: Reboot, Activate: true}},
		{Boot, true, flake.NixOS, kernel, Step{Goal: Reboot, Activate: true}},
		{Boot, true, flake.NixOS, booted, Step{Goal: Reboot}},
		{Switch, true, flake.Darwin, before, Step{Goal: Switch, Activate: true}},
		{Switch, true, flake.Darwin, booted, nothing},
	} {
		s := Step{Class: test.class, Goal: test.goal, Now: test.now, Wanted: flake.Derivation{OutPath: out}}
		s.aim(test.reboot)
		if s.Goal != test.want.Goal || s.Activate != test.want.Activate || s.Reboot != test.want.Reboot {
			t.Errorf("%s, reboot %t, %+v: %s, activate %t, reboot %t", test.goal, test.reboot, test.now, s.Goal, s.Activate, s.Reboot)
		}
	}
}

func TestVerdict(t *testing.T) {
	const out = "/nix/store/x"
	for _, test := range []struct {
		found    Facts
		declared string
		want     Verdict
	}{
		{Facts{}, out, NeverDeployed},
		{Facts{System: out, Profile: out}, out, UpToDate},
		{Facts{System: out, Profile: out, Activating: out}, out, Differs},
		{Facts{System: "/nix/store/y", Profile: out}, out, Differs},
		{Facts{Profile: out}, out, Differs},
		{Facts{System: out, Profile: out}, "", Reachable},
	} {
		if got := verdict(test.found, test.declared); got != test.want {
			t.Errorf("%+v: %s, want %s", test.found, got, test.want)
		}
	}
}
