package vars

import (
	"fmt"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/secrets"
)

// Ten machines with ten generators each, in both layouts: the first time, and
// with nothing to do.
func BenchmarkGenerate(b *testing.B) {
	b.Run("native", func(b *testing.B) { benchmarkGenerate(b, secrets.KindNative) })
	b.Run("clan", func(b *testing.B) { benchmarkGenerate(b, secrets.KindClan) })
}

func benchmarkGenerate(b *testing.B, kind secrets.Kind) {
	machines := map[string][]*genT{}
	for m := range 10 {
		for g := range 10 {
			name := fmt.Sprintf("m%d", m)
			machines[name] = append(machines[name], gen(fmt.Sprintf("g%d", g), fmt.Sprintf("echo %d > $out/s; echo > $out/p", g), "s", "p:public"))
		}
	}
	var first, nothing time.Duration
	for range b.N {
		w := newWorldIn(b, machines, func(dir, public string) (secrets.Layout, error) {
			return secrets.OpenLayout(dir, kind, secrets.ClanOptions{Own: []string{public}})
		})
		start := time.Now()
		w.generate(Request{})
		first += time.Since(start)
		start = time.Now()
		if p := w.plan(Request{}); !p.Empty() {
			b.Fatal(p)
		}
		nothing += time.Since(start)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(first.Seconds()/float64(b.N), "s/first")
	b.ReportMetric(nothing.Seconds()/float64(b.N), "s/nothing")
}
