package vars

import (
	"fmt"
	"testing"
	"time"
)

// Ten machines with ten generators each: the first time, and with nothing to do.
func BenchmarkGenerate(b *testing.B) {
	machines := map[string][]*genT{}
	for m := range 10 {
		for g := range 10 {
			name := fmt.Sprintf("m%d", m)
			machines[name] = append(machines[name], gen(fmt.Sprintf("g%d", g), fmt.Sprintf("echo %d > $out/s; echo > $out/p", g), "s", "p:public"))
		}
	}
	var first, nothing time.Duration
	for range b.N {
		w := newWorld(b, machines)
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
