package deploy

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Change is what happens to a part of a machine.
type Change string

// The changes: of systems, of packages, and of what runs.
const (
	NoChange  Change = "none"
	NewSystem Change = "new"
	Added     Change = "added"
	Removed   Change = "removed"
	Changed   Change = "changed"
	Stops     Change = "stops"
	Restarts  Change = "restarts"
	Reloads   Change = "reloads"
	Starts    Change = "starts"
	Keeps     Change = "keeps"
	Reboots   Change = "reboots"
	Note      Change = "note"
)

// DiffRow is one line about a difference, for people.
type DiffRow struct {
	Change             Change
	What, FromTo, Size string
}

// little is the difference in size from which on a part of the configuration, such
// as a file of /etc, gets a row of its own.
const little = 8 << 10

// Rows are the machine's differences; none where they could not be found out.
func (d Diff) Rows() []DiffRow {
	if d.Err != nil {
		return nil
	}
	rows := []DiffRow{d.systemRow()}
	rows = append(rows, d.packageRows()...)
	if u := d.Units; u != nil {
		for _, list := range []struct {
			change Change
			names  []string
		}{{Stops, u.Stop}, {Restarts, u.Restart}, {Reloads, u.Reload}, {Starts, u.Start}, {Keeps, u.Keep}} {
			for _, name := range list.names {
				rows = append(rows, DiffRow{Change: list.change, What: name})
			}
		}
	}
	for _, part := range d.Reboot {
		rows = append(rows, DiffRow{Change: Reboots, What: part})
	}
	for _, note := range d.Notes {
		rows = append(rows, DiffRow{Change: Note, What: note})
	}
	return rows
}

// ShortPath is enough of a store path to tell two systems apart, for people.
func ShortPath(path string) string {
	const enough = 12
	base := filepath.Base(path)
	switch {
	case path == "":
		return "–"
	case len(base) > enough:
		return base[:enough] + "…"
	}
	return base
}

func (d Diff) systemRow() DiffRow {
	from := d.From
	switch {
	case d.Same():
		return DiffRow{Change: NoChange, What: "system", FromTo: ShortPath(d.To)}
	case from == "":
		from = "none"
	case d.Generation > 0:
		from = fmt.Sprintf("generation %d", d.Generation)
	}
	return DiffRow{
		Change: NewSystem, What: "system", FromTo: from + " → " + ShortPath(d.To),
		Size: fmt.Sprintf("%s → %s, %s", bytesText(d.Before), bytesText(d.After), d.Copy.text()),
	}
}

// packageRows sums up the packages of a first deploy, and parts of the
// configuration that hardly differ.
func (d Diff) packageRows() []DiffRow {
	var rows []DiffRow
	few, bytes, what, change := 0, int64(0), "small part", Changed
	if d.From == "" {
		what, change = "package", Added
	}
	for _, p := range d.Packages {
		if d.From == "" || p.versionless() && max(p.Bytes, -p.Bytes) < little {
			few++
			bytes += p.Bytes
			continue
		}
		row := DiffRow{Change: Changed, What: p.Name, FromTo: versionsText(p.Before) + " → " + versionsText(p.After), Size: deltaText(p.Bytes)}
		switch {
		case p.Added:
			row.Change, row.FromTo = Added, versionsText(p.After)
		case p.Removed:
			row.Change, row.FromTo = Removed, versionsText(p.Before)
		case len(p.Before)+len(p.After) == 0:
			row.FromTo = "" // the same versions, of another size
		}
		rows = append(rows, row)
	}
	if few > 0 {
		if few > 1 {
			what += "s"
		}
		rows = append(rows, DiffRow{Change: change, What: fmt.Sprintf("%d %s", few, what), Size: deltaText(bytes)})
	}
	return rows
}

// versionsText writes versions; a path without a version has none to write.
func versionsText(versions []string) string {
	text := strings.Trim(strings.Join(versions, ", "), ", ")
	if text == "" {
		return "–"
	}
	return text
}

// deltaText writes by how much something grows or shrinks.
func deltaText(n int64) string {
	switch {
	case n < 0:
		return "-" + bytesText(-n)
	case n > 0:
		return "+" + bytesText(n)
	}
	return ""
}
