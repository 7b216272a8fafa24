package deploy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testHash = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-"

func TestPackageOf(t *testing.T) {
	for base, want := range map[string][2]string{
		"hello-2.12.1":                    {"hello", "2.12.1"},
		"hello-2.12.1-man":                {"hello", "2.12.1"},
		"glibc-2.40-66-bin":               {"glibc", "2.40-66"},
		"nixos-system-cinnabar-25.11.2":   {"nixos-system-cinnabar", "25.11.2"},
		"linux-6.6.30-modules":            {"linux", "6.6.30"},
		"unit-metrics.service":            {"unit-metrics.service", ""},
		"etc":                             {"etc", ""},
		"gcc-14-20241116-lib":             {"gcc", "14-20241116"},
		"python3.12-requests-2.32":        {"python3.12-requests", "2.32"},
		"source-_x":                       {"source", "_x"},
		"ends-":                           {"ends-", ""},
		"lib-doc":                         {"lib-doc", ""},
		"firefox-unwrapped-133.0b9-debug": {"firefox-unwrapped", "133.0b9"},
	} {
		name, version := packageOf(testHash + base)
		if name != want[0] || version != want[1] {
			t.Errorf("%s is %q %q, want %q", base, name, version, want)
		}
	}
}

func FuzzPackageOf(f *testing.F) {
	f.Add("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12-man")
	f.Add("x")
	f.Fuzz(func(t *testing.T, path string) {
		comparePackages(closure{path: 1}, nil)
		if list := comparePackages(closure{path: 1}, closure{path: 1}); len(list) != 0 {
			t.Errorf("%q differs from itself: %+v", path, list)
		}
	})
}

func TestComparePackages(t *testing.T) {
	before := closure{
		testHash + "bash-5.2": 100, testHash + "python-3.9": 10, testHash + "python-3.10": 10, testHash + "vim-9.1": 30, testHash + "vim-9.1-doc": 3,
		testHash + "etc": 5, testHash + "same-1": 7, testHash + "rebuilt-1": 7, testHash + "mixed": 1,
	}
	after := closure{
		testHash + "bash-5.3": 120, testHash + "python-3.10": 10, testHash + "python-3.11": 12, testHash + "ripgrep-14": 50,
		testHash + "etc": 6, testHash + "same-1": 7, "/nix/store/1123456789abcdfghijklmnpqrsvwxyz-rebuilt-1": 7, testHash + "mixed": 1, testHash + "mixed-2": 1,
	}
	want := []Package{
		{Name: "bash", Before: []string{"5.2"}, After: []string{"5.3"}, Bytes: 20},
		{Name: "etc", Before: []string{}, After: []string{}, Bytes: 1},
		{Name: "mixed", Before: []string{}, After: []string{"2"}, Bytes: 1},
		{Name: "python", Before: []string{"3.9"}, After: []string{"3.11"}, Bytes: 2},
		{Name: "ripgrep", Before: []string{}, After: []string{"14"}, Added: true, Bytes: 50},
		{Name: "vim", Before: []string{"9.1"}, After: []string{}, Removed: true, Bytes: -33},
	}
	got := comparePackages(before, after)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := before.size(); got != 173 {
		t.Errorf("size %d", got)
	}
}

func TestCompareVersions(t *testing.T) {
	sorted := []string{"", "1", "1.2", "1.9", "1.10", "1.10a", "2.0-rc1", "2.0-rc2", "10"}
	got := slices.Clone(sorted)
	slices.Reverse(got)
	slices.SortFunc(got, compareVersions)
	if diff := cmp.Diff(sorted, got); diff != "" {
		t.Error(diff)
	}
}
