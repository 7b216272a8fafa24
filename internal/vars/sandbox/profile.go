package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// The walls on macOS are a profile of its sandbox, "Seatbelt", which is applied
// by sandbox-exec and inherited by everything that a script starts. The language
// is described nowhere by Apple; this follows what Nix builds with
// (sandbox-defaults.sb), and is narrower:
//
//   - no network, also not to this computer, and no socket of any kind;
//   - of files the store, what programs of macOS itself need to begin, $in and
//     $prompts; $out and a temporary folder may also be written to. Of the folders
//     above these nothing can be listed. /tmp is not among them: macOS cannot
//     give a script one of its own;
//   - of the kernel only such values as say nothing of other processes: through
//     kern.procargs2 a script could read the environment of fleet;
//   - no service but the one that knows the names of users, which ssh-keygen
//     among others does not do without;
//   - no terminal, no shared memory, no semaphores, no program with more rights.

// seatbelt is what a profile grants beside the system itself. All are absolute
// paths without links: the kernel compares them with where a file really is.
type seatbelt struct {
	store []string // read, and programs in it run
	read  []string
	write []string
}

// profile is the text of the profile. The last rule that fits decides.
func (s seatbelt) profile() (string, error) {
	for _, list := range [][]string{s.store, s.read, s.write} {
		for _, folder := range list {
			if err := checkSeatbeltPath(folder); err != nil {
				return "", err
			}
		}
	}
	var p strings.Builder
	p.WriteString("(version 1)\n(deny default)\n")
	p.WriteString("(allow process-fork)\n(allow process-info* (target self))\n(allow signal (target same-sandbox))\n")
	rule := func(operations string, places ...string) {
		if len(places) > 0 { // without one a rule would grant everything
			fmt.Fprintf(&p, "(allow %s\n  %s)\n", operations, strings.Join(places, "\n  "))
		}
	}
	rule("sysctl-read", slices.Concat(filters("sysctl-name", seatbeltKernel), filters("sysctl-name-prefix", []string{"hw.", "machdep.cpu."}))...)
	rule("mach-lookup", `(global-name "com.apple.system.opendirectoryd.libinfo")`)
	// The root itself is read by the dynamic linker of macOS 26.
	rule("file-read*", slices.Concat(filters("literal", append([]string{"/"}, seatbeltFiles...)), filters("subpath", seatbeltFolders))...)
	rule("file-map-executable", filters("subpath", seatbeltFolders)...)
	rule("file-read* file-write-data file-ioctl", filters("literal", seatbeltDevices)...)
	rule("file-read* file-write-data", `(subpath "/dev/fd")`)
	rule("process-exec", filters("literal", seatbeltPrograms)...)
	rule("file-map-executable", filters("literal", seatbeltPrograms)...)

	rule("file-read-metadata", filters("literal", above(slices.Concat(s.store, s.read, s.write, seatbeltFolders)))...)
	rule("file-read* file-map-executable process-exec", filters("subpath", s.store)...)
	rule("file-read*", filters("subpath", s.read)...)
	rule("file-read* file-write* file-map-executable process-exec", filters("subpath", s.write)...)
	p.WriteString("(deny file-write-setugid)\n(deny network*)\n")
	return p.String(), nil
}

// What programs of macOS and those of the store need of it.
var (
	seatbeltPrograms = []string{"/bin/bash", "/bin/sh", "/usr/bin/env"}
	seatbeltDevices  = []string{"/dev/dtracehelper", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"}
	seatbeltFiles    = []string{
		"/bin/bash", "/bin/sh", "/usr/bin/env", "/private/var/select/sh",
		"/System/Library/CoreServices/SystemVersion.plist", "/System/Library/CoreServices/SystemVersionCompat.plist",
	}
	// The dynamic linker with its cache, Rosetta, and what time and text are
	// written by.
	seatbeltFolders = []string{
		"/usr/lib", "/System/Library/dyld", "/System/Cryptexes/OS", "/System/Volumes/Preboot/Cryptexes/OS",
		"/Library/Apple/usr/libexec/oah", "/System/Library/Apple/usr/libexec/oah",
		"/usr/share/icu", "/usr/share/locale", "/usr/share/zoneinfo", "/private/var/db/timezone",
	}
	seatbeltKernel = []string{
		"kern.argmax", "kern.hostname", "kern.maxfilesperproc", "kern.ngroups", "kern.osproductversion", "kern.osrelease",
		"kern.ostype", "kern.osvariant_status", "kern.osversion", "kern.secure_kernel", "kern.usrstack64", "kern.version",
		"sysctl.proc_cputype", "sysctl.proc_native", "sysctl.proc_translated", "vm.pagesize",
	}
)

// filters are filters of one kind.
func filters(kind string, values []string) (all []string) {
	for _, value := range values {
		all = append(all, fmt.Sprintf("(%s %s)", kind, seatbeltString(value)))
	}
	return all
}

// seatbeltString quotes a text that holds nothing but printable ASCII.
func seatbeltString(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// checkSeatbeltPath refuses what would be another path in a profile than here,
// or one that grants too much.
func checkSeatbeltPath(folder string) error {
	printable := !strings.ContainsFunc(folder, func(r rune) bool { return r < ' ' || r > '~' })
	if !printable || !path.IsAbs(folder) || path.Clean(folder) != folder || strings.Count(folder, "/") < 2 {
		return fmt.Errorf("the sandbox cannot be told of the folder %q: set TMPDIR to one with a plain name", folder)
	}
	return nil
}

// above are the folders above some, which programs look at on their way.
func above(folders []string) (all []string) {
	all = []string{"/etc", "/tmp", "/var", "/dev"} // links, and where programs look for devices
	for _, folder := range folders {
		for folder = path.Dir(folder); folder != "/"; folder = path.Dir(folder) {
			all = append(all, folder)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
