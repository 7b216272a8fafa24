package nix

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                          "plain",
		"\x1b[31;1merror:\x1b[0m x":      "error: x",
		"a\tb":                           "a    b",
		"a\x00b\x07\x7fc":                "abc",
		"10%\r20%\r100%":                 "100%",
		"done\r\nnext\r":                 "done\nnext",
		"\x1b]0;title\x07text":           "text",
		"\x1b]8;;http://x\x1b\\link":     "link",
		"\x1bPdcs\x1b\\text":             "text",
		"cut \x1b[31":                    "cut ",
		"cut \x1b":                       "cut ",
		"\x1b]0;never ended\nnext":       "\nnext",
		"ünïcode « » …":                  "ünïcode « » …",
		"bad \xff utf8":                  "bad  utf8",
		"c1 \u009b1m":                    "c1 1m",
		"line 1\nold\rnew\nline 3":       "line 1\nnew\nline 3",
		"\x1b(Bcharset":                  "Bcharset",
		"\x1b[31mred\x1b[0m\x1b[Kend\a ": "redend ",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSystem(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"linux", "amd64"}: "x86_64-linux", {"linux", "arm64"}: "aarch64-linux", {"darwin", "arm64"}: "aarch64-darwin",
		{"darwin", "amd64"}: "x86_64-darwin", {"linux", "386"}: "i686-linux", {"linux", "riscv64"}: "riscv64-linux",
	} {
		if got := system(in[0], in[1]); got != want {
			t.Errorf("system(%v) = %s, want %s", in, got, want)
		}
	}
}

// logFixture is a log as Nix writes it, with what it may also contain.
const logFixture = `@nix {"action":"start","id":134896332832774,"level":0,"parent":0,"text":"","type":104}
@nix {"action":"start","fields":["/nix/store/xysp3hfv30pk6zgcd8pwlb46jznqfxmn-fail.drv","",1,1],"id":18446744073709551615,"level":3,"parent":134896332832774,"text":"building '/nix/store/xysp3hfv30pk6zgcd8pwlb46jznqfxmn-fail.drv'","type":105}
@nix {"action":"result","fields":[0,2,1,0],"id":134896332832774,"type":105}
@nix {"action":"result","fields":["buildPhase"],"id":18446744073709551615,"type":104}
@nix {"action":"result","fields":["\u001b[32mline\u001b[0m one\t."],"id":18446744073709551615,"type":101}
@nix {"action":"result","fields":[],"id":18446744073709551615,"type":101}
@nix {"action":"result","fields":[{"odd":1}],"id":18446744073709551615,"type":101}
@nix {"action":"result","fields":["later"],"id":1,"type":999}
@nix {"action":"start","id":7,"level":3,"parent":0,"text":"a new thing","type":4711,"fields":[1,"x",null]}
@nix {"action":"dance","id":7}
@nix {"action":"stop","id":7}
@nix {"action":"stop","id":404}
@nix {broken
@nix {"action":"start","id":"text"}
plain text
@nix {"action":"msg","level":1,"msg":"\u001b[35;1mwarning:\u001b[0m careful"}
@nix {"action":"stop","id":18446744073709551615}
unfinished line`

func TestStderr(t *testing.T) {
	const drv = "/nix/store/xysp3hfv30pk6zgcd8pwlb46jznqfxmn-fail.drv"
	const top = 18446744073709551615
	want := []Event{
		{Kind: Started, Activity: Builds, ID: 134896332832774},
		{Kind: Started, Activity: Build, ID: top, Parent: 134896332832774, Path: drv, Text: "building '" + drv + "'"},
		{Kind: Progress, Activity: Builds, ID: 134896332832774, Expected: 2, Running: 1},
		{Kind: Phase, Activity: Build, ID: top, Parent: 134896332832774, Path: drv, Text: "buildPhase"},
		{Kind: LogLine, Activity: Build, ID: top, Parent: 134896332832774, Path: drv, Text: "line one    ."},
		{Kind: LogLine, Activity: Build, ID: top, Parent: 134896332832774, Path: drv},
		{Kind: LogLine, Activity: Build, ID: top, Parent: 134896332832774, Path: drv},
		{Kind: Started, Activity: 4711, ID: 7, Text: "a new thing"},
		{Kind: Finished, Activity: 4711, ID: 7},
		{Kind: Finished, ID: 404},
		{Kind: Message, Level: LevelNotice, Text: "@nix {broken"},
		{Kind: Message, Level: LevelNotice, Text: `@nix {"action":"start","id":"text"}`},
		{Kind: Message, Level: LevelNotice, Text: "plain text"},
		{Kind: Message, Level: LevelWarn, Text: "warning: careful"},
		{Kind: Finished, Activity: Build, ID: top, Parent: 134896332832774, Path: drv},
		{Kind: Message, Level: LevelNotice, Text: "unfinished line"},
	}
	for _, chunk := range []int{1, 7, len(logFixture)} {
		var got []Event
		var log strings.Builder
		s := newStderr(func(e Event) { got = append(got, e) }, &log)
		for part := range slices.Chunk([]byte(logFixture), chunk) {
			if n, err := s.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		s.close()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in chunks of %d:\n%s", chunk, diff)
		}
		if !strings.Contains(log.String(), "fail> line one    .\n") || !strings.HasSuffix(log.String(), "unfinished line\n") {
			t.Errorf("log:\n%s", log.String())
		}
	}
}

func TestStderrIsBounded(t *testing.T) {
	var last string
	s := newStderr(func(e Event) { last = e.Text }, &strings.Builder{})
	chunk := []byte(strings.Repeat("x", 1<<20))
	for range 40 {
		if _, err := s.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.line) > maxLine {
		t.Errorf("%d bytes of one line are kept", len(s.line))
	}
	if _, err := s.Write([]byte("\nnext\n")); err != nil || last != "next" {
		t.Errorf("after a long line: %q, %v", last, err)
	}
	for i := range 1000 {
		fmt.Fprintf(s, "line %d\n", i)
	}
	if len(s.text) != tailLines || s.text[tailLines-1] != "line 999" || s.text[0] != "line 975" {
		t.Errorf("kept: %q", s.text)
	}
	long := `@nix {"action":"result","fields":["` + strings.Repeat("y", 200_000) + `"],"id":1,"type":101}` + "\n"
	if _, err := s.Write([]byte(long)); err != nil || len(last) != 200_000 {
		t.Errorf("a long log line has %d bytes, %v", len(last), err)
	}
}

func TestParseErrorText(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want errorText
	}{
		"newer": {`warning: something
error:
       … while calling the 'import' builtin
         at /nix/store/x-source/flake.nix:7:11:
            6|     v = { a = 1; };
            7|     bad = import ./bad.nix;
             |           ^

       … while evaluating the file '/nix/store/x-source/bad.nix':

       error: attribute 'nope' missing
       at /nix/store/x-source/bad.nix:2:10:
            1| let
            2|   x = y: y.nope;
             |          ^
       Did you mean one of nop or nape?`, errorText{
			Message: "attribute 'nope' missing", File: "/nix/store/x-source/bad.nix", Line: 2, Column: 10,
			Trace: []Frame{
				{Text: "while evaluating the file '/nix/store/x-source/bad.nix':"},
				{Text: "while calling the 'import' builtin", File: "/nix/store/x-source/flake.nix", Line: 7, Column: 11},
			},
			hint: " (did you mean one of nop or nape?)",
		}},
		"older": {`error: value is a string
       while a set was expected

       at /a.nix:1:2:

            1| x

       … while evaluating the attribute 'v'

       at /b.nix:3:4:

       … while evaluating 'outputs'

       at /c.nix:5:6:`, errorText{
			Message: "value is a string\nwhile a set was expected", File: "/a.nix", Line: 1, Column: 2,
			Trace: []Frame{
				{Text: "while evaluating the attribute 'v'", File: "/b.nix", Line: 3, Column: 4},
				{Text: "while evaluating 'outputs'", File: "/c.nix", Line: 5, Column: 6},
			},
		}},
		"plain":       {"nix: command went wrong\nbadly", errorText{Message: "nix: command went wrong\nbadly"}},
		"empty":       {"", errorText{}},
		"flag":        {"error: unrecognised flag '--x'\nTry 'nix --help' for more information.", errorText{Message: "unrecognised flag '--x'\nTry 'nix --help' for more information."}},
		"no position": {"error:\n… while fetching\n\nerror: path '/nope' does not exist", errorText{Message: "path '/nope' does not exist", Trace: []Frame{{Text: "while fetching"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseErrorText(tt.in)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(errorText{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodePathInfo(t *testing.T) {
	here := PathInfo{NarHash: "sha256-x", NarSize: 5, References: []string{"/nix/store/b"}}
	want := map[string]PathInfo{"/nix/store/a": here}
	for name, in := range map[string]string{
		"2.18":          `[{"path":"/nix/store/a","narHash":"sha256-x","narSize":5,"closureSize":7,"references":["/nix/store/b"]},{"path":"/nix/store/c","valid":false},null]`,
		"2.19":          `{"/nix/store/a":{"narHash":"sha256-x","narSize":5,"closureSize":7,"references":["/nix/store/b"],"new":{}},"/nix/store/c":null}`,
		"Lix":           `[{"path":"/nix/store/a","valid":true,"narHash":"sha256-x","narSize":5,"closureSize":7,"references":["/nix/store/b"]}]`,
		"names":         `{"version":2,"storeDir":"/nix/store","info":{"a":{"narHash":{"algorithm":"sha256","format":"base64","hash":"x"},"narSize":5,"closureSize":7,"references":["b"]},"c":null}}`,
		"names, no dir": `{"version":2,"info":{"a":{"narHash":"sha256-x","narSize":5,"closureSize":7,"references":["b"]}}}`,
	} {
		got, err := decodePathInfo([]byte(in))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for _, in := range []string{"", "1", `{"a":1}`, `[1]`} {
		if got, err := decodePathInfo([]byte(in)); err == nil {
			t.Errorf("%q is read as %v", in, got)
		}
	}
}

func TestParseGitStatus(t *testing.T) {
	in := strings.Join([]string{
		"# branch.oid 1234", "# branch.head main",
		"1 .M N... 100644 100644 100644 aaaa bbbb with space\tand tab",
		"1 .A N... 000000 000000 100644 0000 0000 new",
		"2 R. N... 100644 100644 100644 aaaa bbbb R100 to", "from",
		"1 .M S.M. 160000 160000 160000 aaaa aaaa lib",
		"u UU N... 100644 100644 100644 100644 aaaa bbbb cccc both",
		"? untracked", "! ignored",
	}, "\x00") + "\x00"
	got, err := parseGitStatus(in)
	if err != nil || got.Head != "1234" || len(got.Changes) != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	var paths []string
	for _, c := range got.Changes {
		paths = append(paths, c.Path+"<"+c.From)
		if c.Submodule != (c.Path == "lib") {
			t.Errorf("%s: submodule is %v", c.Path, c.Submodule)
		}
	}
	if want := []string{"with space\tand tab<", "new<", "to<from", "lib<", "both<"}; !slices.Equal(paths, want) {
		t.Errorf("paths are %q", paths)
	}
	for _, bad := range []string{"", "x", "# branch.oid 1", "# branch.oid 1\x001 .M short\x00", "1 .M N... 1 1 1 a b c\x00", "# branch.oid 1\x00\x00"} {
		if got, err := parseGitStatus(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func TestLocalFlake(t *testing.T) {
	for ref, want := range map[string]string{
		".": ".", ".#x": ".", "": ".", "#x": ".", "./a#x": "./a", "/a/b#x": "/a/b", "path:/a#x": "/a", "path:": ".",
		"git+file:///a?dir=sub#x": "/a/sub", "git+file:///a?ref=x": "/a", "/a?dir=../b": "/a",
		"nixpkgs#x": "-", "github:a/b#x": "-", "/nix/store/x.drv^*": "-",
	} {
		got, ok := localFlake(ref)
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("localFlake(%q) = %q, want %q", ref, got, want)
		}
	}
}

func TestLocator(t *testing.T) {
	const store = "/nix/store/00000000000000000000000000000000-source"
	dir := t.TempDir()
	l := newLocator(dir, map[string]string{store: dir, "/nix/store/11111111111111111111111111111111-source/": "/elsewhere"})
	for in, want := range map[string]string{
		store + "/hosts/a.nix": "hosts/a.nix",
		"/nix/store/11111111111111111111111111111111-source/a.nix": "/elsewhere/a.nix",
		"/nix/store/22222222222222222222222222222222-source/a.nix": "/nix/store/22222222222222222222222222222222-source/a.nix",
		filepath.Join(dir, "x.nix"):                                "x.nix",
		"«string»":                                                 "«string»",
		"":                                                         "",
	} {
		if got, _ := l.file(in); got != want {
			t.Errorf("file(%q) = %q, want %q", in, got, want)
		}
	}
	if got := l.text("in `" + store + "/hosts/a.nix': defined in " + store + "/b.nix. It"); got != "in `hosts/a.nix': defined in b.nix. It" {
		t.Errorf("text: %q", got)
	}
}

func TestErrorSentence(t *testing.T) {
	e := &Error{
		Op: "build", Installable: ".#x", Message: "builder for '/nix/store/00000000000000000000000000000000-x.drv' failed\nhere", File: "a.nix", Line: 1, Column: 2,
		Failures: []BuildFailure{{DrvPath: "/nix/store/00000000000000000000000000000000-x.drv", Log: []string{"1", "2", "3", "4"}}},
		LogPath:  "/l",
	}
	const want = "nix build .#x: builder for 'x' failed here, at a.nix:1:2; it printed last: 2 ⏎ 3 ⏎ 4 (log: /l)"
	if e.Error() != want {
		t.Errorf("%q", e.Error())
	}
	for want, e := range map[string]*Error{
		"nix copy: m": {Op: "copy", Message: "m"},
		"nix eval x: Failed assertions: - one - two": {Op: "eval", Installable: "x", Message: "Failed assertions:\n- one\n- two"},
		"nix eval x: m, at f":                        {Op: "eval", Installable: "x", Message: "m", File: "f"},
		"nix eval x: m, at f:3":                      {Op: "eval", Installable: "x", Message: "m", File: "f", Line: 3},
		"nix eval x: m (log: /tmp)":                  {Op: "eval", Installable: "x", Message: "m", LogPath: "/tmp"},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}

// Wordings of other versions than the one that the tests run.
func TestFailuresOfOtherVersions(t *testing.T) {
	const drv = "/nix/store/xysp3hfv30pk6zgcd8pwlb46jznqfxmn-fail.drv"
	const dep = "/nix/store/ilfpw2b8msn8rgvbsqqzp9hzy8g6xmsr-deep.drv"
	for name, messages := range map[string][]string{
		"2.18": {"builder for '" + drv + "' failed with exit code 3;\nlast 2 log lines:\n> a\n> b\nFor full logs, run 'nix log " + drv + "'.", "1 dependencies of derivation '" + dep + "' failed to build"},
		"2.32": {"Cannot build '" + drv + "'.\nReason: builder failed with exit code 3.\nOutput paths:\n  /nix/store/x\nLast 2 log lines:\n> a\n> b", "Cannot build '" + dep + "'.\nReason: 1 dependency failed.\nOutput paths:\n  /nix/store/x"},
	} {
		s := newStderr(nil, &strings.Builder{})
		for _, m := range messages {
			line, err := json.Marshal(map[string]any{"action": "msg", "level": 0, "msg": "error: " + m, "raw_msg": m})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(s, "@nix %s\n", line)
		}
		got := failures(s)
		if len(got) != 2 || got[0].DrvPath != drv || got[0].Dependency || got[1].DrvPath != dep || !got[1].Dependency ||
			!strings.Contains(got[0].Message, "exit code 3") || strings.Contains(got[0].Message, "log lines") || strings.Contains(got[0].Message+got[1].Message, "Output paths") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzStderr(f *testing.F) {
	f.Add([]byte(logFixture), 3)
	f.Add([]byte("@nix {}\n@nix []\n@nix null\n\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, chunk int) {
		s := newStderr(func(e Event) {
			if strings.ContainsAny(e.Path+e.Text, "\x1b\x00\r\a") {
				t.Errorf("control characters in %+v", e)
			}
			_ = e.Name()
		}, &strings.Builder{})
		for part := range slices.Chunk(data, max(1, chunk&0xff)) {
			if n, err := s.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		s.close()
		e := newError("eval", "x", s, newLocator("", nil))
		if strings.ContainsAny(e.Error(), "\n\x1b\x00\r") {
			t.Errorf("not one sentence: %q", e.Error())
		}
	})
}

func FuzzParseErrorText(f *testing.F) {
	f.Add("error: x\n  at /a:1:2:\n   1| x\n … while y\n at b:3:4:\nDid you mean z?")
	f.Add("error:\nerror:\n… \nat :::1:2")
	f.Fuzz(func(t *testing.T, s string) {
		out := parseErrorText(s)
		if len(out.Message) > len(s)+1 {
			t.Errorf("the message %q is longer than the text", out.Message)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mx\x1b]0;t\x07\r\n\x1bP\x1b\\")
	f.Fuzz(func(t *testing.T, s string) {
		once := clean(s)
		if strings.ContainsAny(once, "\x1b\x00\r\a\t\x7f") {
			t.Errorf("not clean: %q", once)
		}
		if again := clean(once); again != once {
			t.Errorf("clean twice: %q, then %q", once, again)
		}
	})
}

func FuzzDecodeMetadata(f *testing.F) {
	f.Add([]byte(`{"lastModified":1,"locked":{"narHash":"sha256-x","rev":"1","dirtyRev":"2-dirty"},"path":"/nix/store/x","url":"u"}`))
	f.Add([]byte(`{"locked":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMetadata(data)
		if (m == nil) != (err != nil) {
			t.Errorf("%v, %v", m, err)
		}
	})
}

func FuzzDecodePathInfo(f *testing.F) {
	f.Add([]byte(`{"version":2,"info":{"a":{"narHash":{"algorithm":"x"}}}}`))
	f.Add([]byte(`[{"path":"/x"},null]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		infos, err := decodePathInfo(data)
		if (infos == nil) != (err != nil) {
			t.Errorf("%v, %v", infos, err)
		}
	})
}

func FuzzParseGitStatus(f *testing.F) {
	f.Add("# branch.oid 1234\x001 .M N... 100644 100644 100644 a b p\x002 R. N... 1 1 1 a b R100 to\x00from\x00")
	f.Fuzz(func(t *testing.T, s string) {
		status, err := parseGitStatus(s)
		for _, c := range status.Changes {
			if err == nil && (c.Path == "" || !strings.Contains(s, c.Line)) {
				t.Errorf("%+v", c)
			}
		}
	})
}

func FuzzVersion(f *testing.F) {
	f.Add("nix (Nix) 2.26.3")
	f.Fuzz(func(t *testing.T, s string) {
		if older(s, s) {
			t.Errorf("%q is older than itself", s)
		}
	})
}

// A file of the store that the user has, too, with the same content, is the
// user's; an empty or different one is not.
func TestSameFile(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "x", "b": "x", "c": "y", "d": "", "e": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for pair, want := range map[[2]string]bool{{"a", "b"}: true, {"a", "c"}: false, {"d", "e"}: false, {"a", "none"}: false} {
		if got := sameFile(filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1])); got != want {
			t.Errorf("sameFile%v is %v", pair, got)
		}
	}
}
