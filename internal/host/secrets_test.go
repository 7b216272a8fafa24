package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/secrets"
)

func TestJudge(t *testing.T) {
	const keyFile, token = "/var/lib/sops-nix/key.txt", "/run/secrets/metrics.token"
	ref := secrets.Ref{Machine: "web", Generator: "metrics", File: "token", Secret: true}
	other := secrets.Ref{Generator: "ca", File: "key", Secret: true}
	known := func() remoteCheck {
		return remoteCheck{
			keys: []string{"age1right"}, keyPath: "sops/machines/web/key.json",
			deployed: map[string]secrets.Ref{token: ref, "/run/secrets/ca.key": other},
		}
	}
	own := known()
	own.own = true
	keyless := known()
	keyless.keys = nil
	key := deploy.KeyFile{Digest: "x", Mode: 0o600}
	whole := map[string]deploy.KeyFile{keyFile: key, token: {Digest: "y"}, "/run/secrets/ca.key": {Digest: "z"}}
	for name, tt := range map[string]struct {
		check remoteCheck
		held  deploy.Held
		key   KeyMatch
		// problem and mend are of the first finding, of count.
		problem, mend string
		count         int
	}{
		"all is well": {check: known(), held: deploy.Held{Holdings: deploy.Holdings{Files: whole, Public: []string{"age1right"}}}, key: KeyMatches},
		"one of several keys fits": {
			check: known(), held: deploy.Held{Holdings: deploy.Holdings{Files: whole, Public: []string{"age1other", "age1right"}}}, key: KeyMatches,
		},
		"unreachable": {
			check: known(), held: deploy.Held{Err: errors.New("no route"), Next: "ssh web true"}, key: KeyUnknown,
			problem: "cannot be looked at: no route", mend: "`ssh web true`", count: 1,
		},
		"not looked at for a reason that says what to do": {
			check: known(), held: deploy.Held{Err: errors.New("it has no address; set deploy.targetHost")}, key: KeyUnknown,
			problem: "set deploy.targetHost", mend: "`fleet vars check --remote web` again", count: 1,
		},
		"missing": {
			check: known(), held: deploy.Held{}, key: KeyMissing,
			problem: "no age key at " + keyFile, mend: "`fleet machines update web`", count: 1,
		},
		"missing, and brought by the machine": {
			check: own, held: deploy.Held{}, key: KeyMissing,
			problem: "no age key", mend: "put the key there that belongs to sops/machines/web/key.json", count: 1,
		},
		"another key": {
			check: known(), held: deploy.Held{Holdings: deploy.Holdings{Files: whole, Public: []string{"age1other"}}}, key: KeyDiffers,
			problem: "MISMATCH: its age key is age1other, but sops/machines/web/key.json says age1right", mend: "`fleet machines update web`", count: 1,
		},
		"another key, and brought by the machine": {
			check: own, held: deploy.Held{Holdings: deploy.Holdings{Files: whole, Public: []string{"age1other"}}}, key: KeyDiffers,
			problem: "MISMATCH", mend: "`fleet vars fix web`", count: 1,
		},
		"no key at all": {
			check: known(), held: deploy.Held{Holdings: deploy.Holdings{Files: whole}, KeyErr: errors.New("junk")}, key: KeyUnusable,
			problem: "cannot be used: junk", mend: "`fleet machines update web`", count: 1,
		},
		"no key in the repository, which is found there": {
			check: keyless, held: deploy.Held{Holdings: deploy.Holdings{Files: whole, Public: []string{"age1other"}}}, key: KeyUnknown,
		},
		"readable by others": {
			check: known(), key: KeyMatches,
			held: deploy.Held{Holdings: deploy.Holdings{
				Files:  map[string]deploy.KeyFile{keyFile: {Digest: "x", Mode: 0o640}, token: {Digest: "y"}, "/run/secrets/ca.key": {Digest: "z"}},
				Public: []string{"age1right"},
			}},
			problem: "can be read by others (mode 0640)", mend: "`chmod 600 " + keyFile + "`", count: 1,
		},
		"a secret is missing": {
			check: known(), key: KeyMatches,
			held: deploy.Held{Holdings: deploy.Holdings{
				Files: map[string]deploy.KeyFile{keyFile: key, "/run/secrets/ca.key": {Digest: "z"}}, Public: []string{"age1right"},
			}},
			problem: "not on the machine at " + token, mend: "`fleet machines update web`", count: 1,
		},
		"all secrets are missing": {
			check: known(), key: KeyMatches,
			held:    deploy.Held{Holdings: deploy.Holdings{Files: map[string]deploy.KeyFile{keyFile: key}, Public: []string{"age1right"}}},
			problem: "none of its 2 secrets", mend: "`fleet machines update web`", count: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.held.Machine, tt.held.KeyFile = "web", keyFile
			remote, findings := tt.check.judge(tt.held)
			if remote.Key != tt.key || len(findings) != tt.count {
				t.Fatalf("key %q, %v", remote.Key, findings)
			}
			if tt.count > 0 && (!strings.Contains(findings[0].Problem, tt.problem) || !strings.Contains(findings[0].Mend, tt.mend)) {
				t.Errorf("%q, %q", findings[0].Problem, findings[0].Mend)
			}
		})
	}
}
