package vars

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
)

var migrateOptions = MigrateOptions{Now: time.Now}

// moved is the world with its folder opened in another layout.
func (w *world) moved(kind secrets.Kind) *world {
	w.t.Helper()
	layout, err := secrets.OpenLayout(w.root, kind, secrets.ClanOptions{Own: w.fleet.Identities.Recipients()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { layout.Close() })
	other := *w.fleet
	other.Layout = layout
	return &world{t: w.t, root: w.root, fleet: &other, opts: w.opts}
}

// contents are all values, keys and hashes with their exact bytes and readers,
// by their names.
func (w *world) contents() map[string]string {
	w.t.Helper()
	l, all := w.fleet.Layout, map[string]string{}
	fail := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	refs, err := l.List()
	fail(err)
	others, err := l.Others()
	fail(err)
	for _, ref := range append(refs, others...) {
		data, err := l.Read(ref)
		fail(err)
		all[ref.String()] = string(data)
		if !ref.Secret {
			continue
		}
		readers, err := secrets.EnvelopeRecipients(data)
		fail(err)
		all[ref.String()+" readers"] = strings.Join(readers, " ")
	}
	generators, err := l.Generators()
	fail(err)
	for _, g := range generators {
		hash, err := l.Hash(g.Machine, g.Generator)
		fail(err)
		if hash != "" {
			all["hash "+g.String()] = hash
		}
	}
	keys, err := w.fleet.ListKeys(w.t.Context())
	fail(err)
	for _, key := range keys.Keys {
		all["key "+string(key.Kind)+" "+key.Name+" "+key.PublicKey] = fmt.Sprint(key.Secrets, key.MachineKeys)
	}
	return all
}

// Both ways lose nothing: every value, reader, key and hash is compared.
func TestMigrate(t *testing.T) {
	w := clanWorld(t)
	public, _ := keyPair(t)
	report, err := w.fleet.AddRecoveryKey(t.Context(), public, keysOptions)
	must(t, report, err)
	w.write("vars/per-machine/web/empty/.validation-hash", "of no value")
	w.git("add", "sops", "vars")
	w.git("commit", "--quiet", "--message=all")
	before, files := w.contents(), w.snapshot()

	native := w.moved(secrets.KindNative)
	dry := migrateOptions
	dry.DryRun = true
	planned, err := w.fleet.Migrate(t.Context(), native.fleet.Layout, dry)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, w.snapshot()); diff != "" {
		t.Errorf("a dry run changed\n%s", diff)
	}
	commit := migrateOptions
	commit.Commit = true
	done, err := w.fleet.Migrate(t.Context(), native.fleet.Layout, commit)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(planned, done); diff != "" {
		t.Errorf("planned and done differ\n%s", diff)
	}
	if done.Values != 6 || done.MachineKeys != 2 || done.Hashes != 2 || len(done.Notes) > 0 {
		t.Errorf("got %+v", done)
	}
	if diff := cmp.Diff(before, native.contents()); diff != "" {
		t.Errorf("on the way to native\n%s", diff)
	}
	if links := w.links(); len(links) > 0 {
		t.Errorf("left: %v", links)
	}
	if _, err := os.Stat(filepath.Join(w.root, "vars")); err == nil {
		t.Error("vars/ is left")
	}
	if kind, err := secrets.Detect(w.root); kind != secrets.KindNative || err != nil {
		t.Errorf("it is %s (%v)", kind, err)
	}
	if got := w.git("status", "--porcelain"); got != "" {
		t.Errorf("git says %q", got)
	}
	native.sound()

	if _, err := native.fleet.Migrate(t.Context(), w.fleet.Layout, commit); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, w.snapshot()); diff != "" {
		t.Errorf("there and back\n%s", diff)
	}
	w.sound()
}

// Secrets without a generator have no place in the native layout, and stay.
func TestMigrateLeavesPlainSecrets(t *testing.T) {
	w := clanWorld(t)
	files, err := secrets.Seal(t.Context(), w.fleet.Layout, secrets.PlainRef("token"), []byte("x"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Link == "" {
			w.write(f.Path, string(f.Data))
		}
	}
	native := w.moved(secrets.KindNative)
	done, err := w.fleet.Migrate(t.Context(), native.fleet.Layout, migrateOptions)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"secret token"}, done.Stay); diff != "" {
		t.Error(diff)
	}
	if kind, err := secrets.Detect(w.root); kind != secrets.KindNative || err != nil {
		t.Errorf("it is %s (%v)", kind, err)
	}
}

// What cannot be moved whole is not begun.
func TestMigrateRefuses(t *testing.T) {
	for name, spoil := range map[string]func(w *world){
		"vars/per-machine/web/a/f/secret":      func(w *world) { w.write("vars/per-machine/web/a/f/secret", "plain") },
		"sops/machines/web/facts/a/p is there": func(w *world) { w.write("sops/machines/web/facts/a/p", "other") },
	} {
		t.Run(name, func(t *testing.T) {
			w := clanWorld(t)
			spoil(w)
			before := w.snapshot()
			_, err := w.fleet.Migrate(t.Context(), w.moved(secrets.KindNative).fleet.Layout, migrateOptions)
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("something changed\n%s", diff)
			}
		})
	}
}

// Stopped at whatever step, the next run finds everything in one layout.
func TestMigrateStops(t *testing.T) {
	stopped := errors.New("stopped")
	seen := map[string]bool{}
	for number := 1; ; number += 1 + number/6 {
		w := clanWorld(t)
		before, count := w.contents(), 0
		o := migrateOptions
		o.step = func(step string) error {
			if count++; count == number {
				phase, _, _ := strings.Cut(step, " ")
				seen[phase] = true
				return stopped
			}
			return nil
		}
		native := w.moved(secrets.KindNative)
		_, err := w.fleet.Migrate(t.Context(), native.fleet.Layout, o)
		if err == nil {
			break
		}
		if _, err := w.fleet.Recover(t.Context(), Limits{}); err != nil {
			t.Fatal(err)
		}
		kind, err := secrets.Detect(w.root)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, w.moved(kind).contents()); diff != "" {
			t.Errorf("stopped at step %d: in %s\n%s", number, kind, diff)
		}
	}
	for _, phase := range []string{"journal", "stage", "switch"} {
		if !seen[phase] {
			t.Errorf("never stopped at %s; at %v", phase, seen)
		}
	}
}
