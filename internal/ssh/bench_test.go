package ssh

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

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

// BenchmarkOpenSSH is what a login and a command cost with the ssh program, to
// hold BenchmarkDial and BenchmarkRun against.
func BenchmarkOpenSSH(b *testing.B) {
	s := newServer(b)
	cfg := s.config(b)
	for b.Loop() {
		cmd := exec.Command("ssh", "-F", cfg.File, "-p", strconv.Itoa(s.port), "root@127.0.0.1", "true")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
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

// BenchmarkHost does what a deploy does with one host, and counts what it costs
// there and here: logins, commands begun, processes started on this computer.
func BenchmarkHost(b *testing.B) {
	s := newServer(b, "LogLevel VERBOSE")
	s.write(b, "cat", "#!/bin/sh\nexec cat\n", 0o755)
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Mkdir(s.path("bin"), 0o755); err != nil {
		b.Fatal(err)
	}
	s.write(b, "bin/ssh", "#!/bin/sh\necho >>"+s.path("started")+"\nexec "+ssh+" \"$@\"\n", 0o755)
	cfg := s.config(b)
	cfg.Env = append(cfg.Env, "PATH="+s.path("bin")+":"+os.Getenv("PATH"))
	for b.Loop() {
		conn, err := Dial(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		root, err := conn.AsRoot(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		tunnel := open(b, root, s.path("cat"))
		exchange(b, connect(b, tunnel), "a closure")
		for range 6 { // puts the key in place, looks, sets the profile, starts and follows the activation
			if _, err := root.Output(b.Context(), "true"); err != nil {
				b.Fatal(err)
			}
		}
		tunnel.Close()
		conn.Close()
	}
	log := s.read(b, "log")
	b.ReportMetric(float64(strings.Count(log, "Accepted publickey"))/float64(b.N), "logins/host")
	b.ReportMetric(float64(strings.Count(log, "Starting session: command"))/float64(b.N), "commands/host")
	b.ReportMetric(float64(strings.Count(s.read(b, "started"), "\n"))/float64(b.N), "processes/host")
}

// BenchmarkDialThrough is the way to a host behind a bastion that others use too.
func BenchmarkDialThrough(b *testing.B) {
	c := newChain(b)
	var d Dialer
	other, err := d.Dial(b.Context(), c.config)
	if err != nil {
		b.Fatal(err)
	}
	defer other.Close()
	for b.Loop() {
		conn, err := d.Dial(b.Context(), c.config)
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
	if c.link.connections() != 1 {
		b.Errorf("%d connections to the bastion", c.link.connections())
	}
}

// BenchmarkSettings is what asking OpenSSH costs, once per host and connection.
func BenchmarkSettings(b *testing.B) {
	cfg := newServer(b).config(b)
	for b.Loop() {
		if _, err := resolve(b.Context(), cfg); err != nil {
			b.Fatal(err)
		}
	}
}
