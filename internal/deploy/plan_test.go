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
		{Step{Wanted: wanted, Activate: true, Build: true, Key: KeyInstall}, "build, copy, install the age key, activate /nix/store/x (first deploy)"},
		{Step{Wanted: wanted, Activate: true, Copy: CopySize{Known: true, Paths: 2, Bytes: 3_000_000}, Key: KeyReplace, Now: Facts{Profile: "/nix/store/y"}}, "copy 2 paths (3.0 MB), replace the age key, activate /nix/store/x"},
		{Step{Wanted: wanted, Activate: true, Copy: CopySize{Known: true, Paths: 1, Bytes: 7}, Key: KeyUnchanged, Now: Facts{Profile: "/nix/store/y"}}, "copy 1 path (7 B), activate /nix/store/x"},
		{Step{Wanted: wanted, Activate: true, Copy: CopySize{Known: true}, Key: KeyNone, Now: Facts{Profile: "/nix/store/y"}}, "nothing to copy, activate /nix/store/x"},
		{Step{Err: errors.New("no"), Error: "no"}, "failed: no"},
	} {
		if got := test.step.Text(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
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
