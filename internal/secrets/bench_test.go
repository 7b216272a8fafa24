package secrets

import (
	"testing"
	"time"
)

// BenchmarkEncryptAgainstSops encrypts one secret in-process and reports how many
// there are in a second, how many by a sops process each, and the ratio (budget: at
// least 50).
func BenchmarkEncryptAgainstSops(b *testing.B) {
	sops, key := program(b, "sops"), newKeyPair(b)
	plain := write(b, "plain", []byte("a secret of the usual length of 42 bytes..\n"))
	process := measure(20, func() { run(b, nil, nil, sops, "encrypt", "--age", key.public, plain) })
	value := []byte("a secret of the usual length of 42 bytes..\n")
	for b.Loop() {
		encrypt(b, value, key.public)
	}
	report(b, process)
}

// BenchmarkDecryptAgainstSops is the way back.
func BenchmarkDecryptAgainstSops(b *testing.B) {
	sops, key := program(b, "sops"), newKeyPair(b)
	envelope := encrypt(b, []byte("a secret of the usual length of 42 bytes..\n"), key.public)
	file := write(b, "secret", envelope)
	process := measure(20, func() { run(b, []string{"SOPS_AGE_KEY=" + key.private}, nil, sops, "decrypt", file) })
	for b.Loop() {
		decrypt(b, envelope, key.ids)
	}
	report(b, process)
}

// BenchmarkRecipients is what an audit does to every file.
func BenchmarkRecipients(b *testing.B) {
	envelope := encrypt(b, []byte("hunter2"), newKeyPair(b).public, newKeyPair(b).public, newKeyPair(b).public)
	for b.Loop() {
		if _, err := EnvelopeRecipients(envelope); err != nil {
			b.Fatal(err)
		}
	}
}

func measure(times int, work func()) time.Duration {
	start := time.Now()
	for range times {
		work()
	}
	return time.Since(start) / time.Duration(times)
}

func report(b *testing.B, process time.Duration) {
	own := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(1/own.Seconds(), "per-s")
	b.ReportMetric(1/process.Seconds(), "per-s-of-sops")
	b.ReportMetric(float64(process)/float64(own), "×faster")
}
