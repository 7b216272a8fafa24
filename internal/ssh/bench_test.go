package ssh

import "testing"

func BenchmarkDial(b *testing.B) {
	cfg := newServer(b).config(b)
	for b.Loop() {
		conn, err := Dial(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}

func BenchmarkRun(b *testing.B) {
	conn := newServer(b).dial(b)
	for b.Loop() {
		if _, err := conn.Output(b.Context(), "true"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteFile(b *testing.B) {
	conn := newServer(b).dial(b)
	name, content := b.TempDir()+"/file", make([]byte, 4096)
	for b.Loop() {
		if err := conn.WriteFile(b.Context(), name, 0o600, content); err != nil {
			b.Fatal(err)
		}
	}
}
