package vars

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// A thousand machines with five secrets each, every one of them opened.
func BenchmarkAudit(b *testing.B) {
	w := newWorld(b, nil)
	w.keyJSON("sops/recovery/key.json")
	place := func(files []repository.File, err error) {
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range files {
			path := filepath.Join(w.root, f.Path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(path, f.Data, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	machines := map[string][]*genT{}
	for m := range 1000 {
		machine := fmt.Sprintf("m%d", m)
		holder, files, err := secrets.EnsureMachineKey(b.Context(), w.fleet.Layout, machine, time.Now())
		place(files, err)
		g := gen("g", "")
		for f := range 5 {
			file := fmt.Sprintf("f%d", f)
			g.Files[file] = &flake.File{Name: file, Secret: true, Deploy: true}
			ref := secrets.Ref{Machine: machine, Generator: "g", File: file, Secret: true}
			place(secrets.Seal(b.Context(), w.fleet.Layout, ref, []byte("value"), []secrets.Holder{holder}, time.Now()))
		}
		g.Script = nil
		machines[machine] = []*genT{g}
	}
	w.set(machines)
	b.ResetTimer()
	for b.Loop() {
		a, err := w.fleet.Audit(b.Context(), true)
		if err != nil || len(a.Findings) > 0 {
			b.Fatal(a, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/audit")
	b.ReportMetric(0, "ns/op")
}
