package vars

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
)

func (w *world) fix(opts FixOptions) *Fixed {
	w.t.Helper()
	opts.Now = time.Now
	fixed, err := w.fleet.Fix(w.t.Context(), opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return fixed
}

// reseal encrypts a value to other readers, as drift does.
func (w *world) reseal(name string, recipients ...string) {
	w.t.Helper()
	plain, err := secrets.Decrypt(w.t.Context(), []byte(w.snapshot()[name]), w.fleet.Identities)
	if err != nil {
		w.t.Fatal(err)
	}
	envelope, err := secrets.Encrypt(w.t.Context(), plain, recipients, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name, string(envelope))
}

func changed(before, after map[string]string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			names = append(names, name)
		}
	}
	return names
}

func TestFixNothing(t *testing.T) {
	w := drifting(t)
	before := w.snapshot()
	if fixed := w.fix(FixOptions{Commit: true}); len(fixed.Mended)+len(fixed.Rotate) > 0 {
		t.Errorf("got %+v", fixed)
	}
	if names := changed(before, w.snapshot()); names != nil {
		t.Errorf("changed %q", names)
	}
}

// Encrypted to an unknown old key, with the machine missing: the machine comes
// in, the key goes, the value stays, and has to be rotated.
func TestFixDrift(t *testing.T) {
	const name = "sops/machines/cinnabar/secrets/root-password/hash"
	w := drifting(t)
	old, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	w.reseal(name, w.fleet.Identities.Recipients()[0], old)
	before := w.snapshot()
	want := []Mend{{
		ID: ID{Machine: "cinnabar", Name: "root-password"}, File: "hash", Path: name,
		Add: []string{"machine cinnabar", "the recovery key"}, Remove: []string{"the unknown key " + old},
	}}
	if diff := cmp.Diff(want, w.fix(FixOptions{DryRun: true}).Mended); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if names := changed(before, w.snapshot()); names != nil {
		t.Fatalf("a dry run changed %q", names)
	}
	w.git("add", "sops")
	w.git("commit", "--quiet", "--message", "all")

	fixed := w.fix(FixOptions{Commit: true})
	if diff := cmp.Diff(want, fixed.Mended); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	rotate := []Rotation{{
		Value: "cinnabar/root-password/hash", KnownBy: []string{"the unknown key " + old},
		Mend: "run `fleet vars generate cinnabar --regenerate root-password`",
	}}
	if diff := cmp.Diff(rotate, fixed.Rotate); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	after := w.snapshot()
	if diff := cmp.Diff([]string{name}, changed(before, after)); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if got := w.get("cinnabar", "root-password/hash"); got != "canary\n" {
		t.Errorf("the value is now %q", got)
	}
	if _, err := secrets.Decrypt(t.Context(), []byte(after[name]), identities(t, private)); !noKeyAtHand(err) {
		t.Errorf("the old key still reads it: %v", err)
	}
	if findings, _ := w.audit(true); findings != "" {
		t.Errorf("left:\n%s", findings)
	}
	if log := w.git("log", "-1", "--name-only", "--format=%s%n%b"); !strings.HasPrefix(log, "fix(vars): re-encrypt without readers that should not be\n") || !strings.Contains(log, name) {
		t.Errorf("commit:\n%s", log)
	}
}

// A new administrator gets everything, the machines' private keys among it, and
// nothing needs to be rotated; one who left loses everything.
func TestFixAdmins(t *testing.T) {
	w := drifting(t)
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	w.admin("bob", public)
	fixed := w.fix(FixOptions{})
	if len(fixed.Mended) != 7 || len(fixed.Rotate) != 0 {
		t.Errorf("got %+v", fixed)
	}
	bob := identities(t, private)
	for _, machine := range []string{"cinnabar", "electrum"} {
		if _, err := secrets.MachinePrivateKey(t.Context(), w.fleet.Layout, machine, bob); err != nil {
			t.Error(err)
		}
	}
	ref := secrets.Ref{Generator: "wifi", File: "psk", Secret: true}
	if plain, err := secrets.Open(t.Context(), w.fleet.Layout, ref, bob); err != nil || string(plain) != "wifi\n" {
		t.Errorf("%q, %v", plain, err)
	}

	w.remove("sops/users/bob")
	fixed = w.fix(FixOptions{})
	if len(fixed.Mended) != 7 || len(fixed.Rotate) != 7 {
		t.Errorf("got %+v", fixed)
	}
	if got := fixed.Rotate[0]; got.Value != "the private key of cinnabar" || !strings.Contains(got.Mend, "new key") {
		t.Errorf("got %+v", got)
	}
	if _, err := secrets.Open(t.Context(), w.fleet.Layout, ref, bob); !noKeyAtHand(err) {
		t.Errorf("bob still reads it: %v", err)
	}
	if findings, _ := w.audit(true); findings != "" {
		t.Errorf("left:\n%s", findings)
	}
}

// What would take a secret from its machine or from oneself is left alone.
func TestFixLeaves(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(w *world)
		err    string
	}{
		{"a machine without key.json", func(w *world) { w.remove("sops/machines/electrum/key.json") }, ""},
		{"a key.json that does not fit", func(w *world) { w.keyJSON("sops/machines/electrum/key.json") }, ""},
		{"plaintext", func(w *world) { w.write("sops/machines/electrum/secrets/zfs/key", "canary") }, ""},
		{"an orphan", func(w *world) { delete(w.fleet.Machines["electrum"].Generators, "zfs") }, ""},
		{
			"one's own key.json is lost",
			func(w *world) { w.remove("sops/users/alice"); w.keyJSON("sops/users/bob/key.json") },
			"none of your keys is among those of the administrators",
		},
		{"no administrator at all", func(w *world) { w.remove("sops/users"); w.remove("sops/recovery") }, "names no administrator"},
		{"an unreadable key.json", func(w *world) { w.write("sops/users/bob/key.json", "[]") }, "sops/users/bob/key.json: no key in it"},
		{
			"without a fitting key",
			func(w *world) { w.keyJSON("sops/users/bob/key.json"); w.fleet.Identities = &secrets.Identities{} },
			"7 secrets have the wrong readers and cannot be opened with your keys",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := drifting(t)
			tt.damage(w)
			before := w.snapshot()
			fixed, err := w.fleet.Fix(t.Context(), FixOptions{Now: time.Now})
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got error %v, want %q", err, tt.err)
			}
			if fixed != nil && len(fixed.Mended) > 0 {
				t.Errorf("got %+v", fixed)
			}
			if names := changed(before, w.snapshot()); names != nil {
				t.Errorf("changed %q", names)
			}
		})
	}
}

// An interrupted run is completed first.
func TestFixRecovers(t *testing.T) {
	const left = "sops/machines/electrum/secrets/zfs/.key.fleet-new"
	w := drifting(t)
	w.write(left, "{}")
	w.write(".git/fleet/journal.json", `{"phase": "staging", "files": [{"stage": "`+left+`", "final": "sops/machines/electrum/secrets/zfs/key"}]}`)
	if fixed := w.fix(FixOptions{}); fixed.Recovered == "" {
		t.Error("nothing was said of it")
	}
	if _, err := os.Stat(filepath.Join(w.root, left)); err == nil {
		t.Error("the staged file is still there")
	}
	if findings, _ := w.audit(true); findings != "" {
		t.Errorf("left:\n%s", findings)
	}
}

// What ends before everything is known changes nothing, and reports nothing.
func TestFixAllOrNothing(t *testing.T) {
	w := drifting(t)
	public, _, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	w.admin("bob", public)
	w.remove("sops/machines/electrum/secrets/zfs/key") // of the last generator
	if err := os.Mkdir(filepath.Join(w.root, "sops/machines/electrum/secrets/zfs/key"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := w.snapshot()
	if fixed, err := w.fleet.Fix(t.Context(), FixOptions{Now: time.Now}); fixed != nil || err == nil {
		t.Errorf("got %+v, %v", fixed, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if fixed, err := w.fleet.Fix(ctx, FixOptions{Now: time.Now}); fixed != nil || err == nil {
		t.Errorf("interrupted: got %+v, %v", fixed, err)
	}
	if names := changed(before, w.snapshot()); names != nil {
		t.Errorf("changed %q", names)
	}
}
