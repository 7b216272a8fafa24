package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var testBelt = seatbelt{
	store: []string{"/nix/store"},
	read:  []string{"/private/var/folders/x/T/fleet-vars-1/in", "/private/var/folders/x/T/fleet-vars-1/prompts"},
	write: []string{"/private/var/folders/x/T/fleet-vars-1/out", "/private/var/folders/x/T/fleet-vars-1/tmp"},
}

// form is one expression of a profile: a list, or in a list a word or a string.
type form struct {
	list []form
	text string
	str  bool
}

func (f form) head() string {
	if len(f.list) == 0 {
		return ""
	}
	return f.list[0].text
}

// forms reads a profile as Seatbelt's own reader, a Scheme's, does.
func forms(text string) (top []form, err error) {
	stack := [][]form{nil}
	add := func(f form) { stack[len(stack)-1] = append(stack[len(stack)-1], f) }
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ' ' || c == '\n':
		case c == '(':
			stack = append(stack, nil)
		case c == ')':
			if len(stack) == 1 {
				return nil, fmt.Errorf("a parenthesis too many at %d", i)
			}
			list := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			add(form{list: list})
		case c == '"':
			var b strings.Builder
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
				if i == len(text) {
					break
				}
				b.WriteByte(text[i])
			}
			if i >= len(text) {
				return nil, fmt.Errorf("a string without an end")
			}
			add(form{text: b.String(), str: true})
		case c == ';' || c == '#' || c == '\'' || c < ' ' || c > '~':
			return nil, fmt.Errorf("%q at %d", c, i)
		default:
			end := i + strings.IndexAny(text[i:]+" ", " \n()\"")
			add(form{text: text[i:end]})
			i = end - 1
		}
	}
	if len(stack) != 1 {
		return nil, fmt.Errorf("a parenthesis too few")
	}
	return stack[0], nil
}

// grants are the filters of a profile as KIND VALUE, by what they allow.
func grants(t *testing.T, belt seatbelt) map[string][]string {
	t.Helper()
	profile, err := belt.profile()
	if err != nil {
		t.Fatal(err)
	}
	top, err := forms(profile)
	if err != nil {
		t.Fatalf("%v in\n%s", err, profile)
	}
	if len(top) < 3 || profile[:len("(version 1)\n(deny default)\n")] != "(version 1)\n(deny default)\n" {
		t.Fatalf("it does not begin with denying everything:\n%s", profile)
	}
	all := map[string][]string{}
	for i, f := range top[2:] {
		if f.head() == "deny" {
			if i < len(top)-4 {
				t.Errorf("%v is not at the end, where it decides", f)
			}
			continue
		}
		if f.head() != "allow" {
			t.Fatalf("%v is no rule", f)
		}
		var operations, filters []string
		for _, part := range f.list[1:] {
			if part.list == nil {
				operations = append(operations, part.text)
				continue
			}
			if len(part.list) != 2 {
				t.Fatalf("%v is no filter", part)
			}
			filters = append(filters, part.list[0].text+" "+part.list[1].text)
		}
		if len(filters) == 0 && !slices.Equal(operations, []string{"process-fork"}) {
			t.Errorf("%v is granted everywhere", operations)
		}
		for _, operation := range operations {
			all[operation] = append(all[operation], filters...)
		}
	}
	return all
}

func TestSeatbelt(t *testing.T) {
	all := grants(t, testBelt)
	known := []string{
		"process-fork", "process-exec", "process-info*", "signal", "sysctl-read", "mach-lookup",
		"file-read*", "file-read-metadata", "file-map-executable", "file-write-data", "file-write*", "file-ioctl",
	}
	for operation := range all {
		if !slices.Contains(known, operation) {
			t.Errorf("%s is granted", operation)
		}
	}
	// Nothing but $out and the temporary folder can be written to.
	var own []string
	for _, folder := range testBelt.write {
		own = append(own, "subpath "+folder)
	}
	if !slices.Equal(all["file-write*"], own) {
		t.Errorf("can be written to: %v", all["file-write*"])
	}
	for _, filter := range slices.Concat(all["file-write-data"], all["file-ioctl"]) {
		if !strings.HasPrefix(filter, "literal /dev/") && filter != "subpath /dev/fd" {
			t.Errorf("can be written to: %s", filter)
		}
	}
	for operation, granted := range all {
		for _, filter := range granted {
			kind, value, _ := strings.Cut(filter, " ")
			switch {
			case kind == "subpath" && strings.Count(value, "/") < 2,
				kind == "literal" && value == "/" && operation != "file-read*",
				strings.HasPrefix(value, "/Users"), strings.HasPrefix(value, "/private/tmp"), strings.HasPrefix(value, "/dev/tty"),
				strings.HasPrefix(value, "/dev/disk"), strings.HasPrefix(value, "/dev/bpf"), strings.HasPrefix(value, "/Library/Keychains"):
				t.Errorf("%s of %s", operation, filter)
			case kind == "target" && value != "self" && value != "same-sandbox":
				t.Errorf("%s of %s", operation, filter)
			}
		}
	}
	// Whole folders are read only in the store, in the system, and of our own.
	for _, filter := range all["file-read*"] {
		folder, isFolder := strings.CutPrefix(filter, "subpath ")
		ours := slices.Concat(testBelt.store, testBelt.read, testBelt.write, seatbeltFolders, []string{"/dev/fd"})
		if isFolder && !slices.Contains(ours, folder) {
			t.Errorf("can be read: %s", folder)
		}
	}
	// Of the folders above it is known only that they are there.
	for _, filter := range all["file-read-metadata"] {
		if !strings.HasPrefix(filter, "literal ") {
			t.Errorf("can be looked at: %s", filter)
		}
	}
	for _, folder := range []string{"/private", "/private/var/folders/x/T", "/private/var/folders/x/T/fleet-vars-1", "/nix"} {
		if !slices.Contains(all["file-read-metadata"], "literal "+folder) {
			t.Errorf("%s cannot be walked through", folder)
		}
	}
	// What tells of other processes stays closed.
	for _, filter := range all["sysctl-read"] {
		for _, leak := range []string{"kern.proc", "kern.procargs", "kern.bootargs", "net.", "sysctl-name-prefix kern", "sysctl-name-prefix vm"} {
			if strings.Contains(filter, leak) && !strings.Contains(filter, "sysctl.proc") {
				t.Errorf("the kernel tells %s", filter)
			}
		}
	}
	if want := []string{"global-name com.apple.system.opendirectoryd.libinfo"}; !slices.Equal(all["mach-lookup"], want) {
		t.Errorf("services: %v", all["mach-lookup"])
	}
}

func TestSeatbeltRefuses(t *testing.T) {
	for _, folder := range []string{
		"", "/", "/nix", "relative/path", "/a/../b", "/a/b/", "/a//b", "/a/b\n(allow default)", "/a/b\x00", "/a/b\x7f", "/Users/jörg/T",
	} {
		for _, belt := range []seatbelt{{store: []string{folder}}, {read: []string{folder}}, {write: []string{folder}}} {
			if text, err := belt.profile(); err == nil {
				t.Errorf("%q: %s", folder, text)
			}
		}
	}
}

// Whatever the name of a folder, the profile grants that folder and no other.
func FuzzSeatbelt(f *testing.F) {
	f.Add(`/tmp/a"b`)
	f.Add(`/tmp/a\`)
	f.Add(`/tmp/a") (allow default) (subpath "/`)
	f.Add("/tmp/; comment")
	f.Fuzz(func(t *testing.T, folder string) {
		belt := seatbelt{write: []string{folder}}
		if _, err := belt.profile(); err != nil {
			return
		}
		all := grants(t, belt)
		if got, want := all["file-write*"], []string{"subpath " + folder}; !slices.Equal(got, want) {
			t.Errorf("%q: %q", folder, got)
		}
		if len(all) != len(grants(t, seatbelt{write: []string{"/a/b"}})) {
			t.Errorf("%q grants more than another", folder)
		}
	})
}
