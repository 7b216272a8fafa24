package cli

import "time"

// ago is how long a time lies back, in its largest unit; "–" for none. What lies
// ahead, by a clock that is off, is now.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return "–"
	}
	const day = 24 * time.Hour
	past := now.Sub(then)
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{365 * day, "year"}, {30 * day, "month"}, {day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int(past / unit.length); n > 0 {
			return plural(n, unit.name)
		}
	}
	return "now"
}
