package cli

import "testing"

func TestParsePieceLength(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "14": 16 << 10, "18": 256 << 10, "28": 256 << 20, "16KiB": 16 << 10, "4MiB": 4 << 20, "1 MiB": 1 << 20, "256MiB": 256 << 20,
	} {
		if got, err := parsePieceLength(text); err != nil || got != want {
			t.Errorf("parsePieceLength(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"13", "29", "-1", "0", "262144", "3MiB", "8KiB", "512MiB", "1GiB", "4MB", "4", "MiB", "4294967295GiB", "-4MiB", "1e3"} {
		got, err := parsePieceLength(text)
		if err == nil {
			t.Errorf("parsePieceLength(%q) = %d, want an error", text, got)
			continue
		}
		if code, hint := codeOf(err); code != CodeUsage || hint == "" {
			t.Errorf("parsePieceLength(%q): code %d, hint %q", text, code, hint)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1B": 1, "500GB": 500e9, "1.5TB": 1.5e12, "2GiB": 2 << 30} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"500", "GB", "-1GB", "400mbit", "1GB/s", "1Gb", "1 XB", "0B", "unlimited"} {
		got, err := parseSize(text)
		if code, hint := codeOf(err); code != CodeUsage || hint == "" {
			t.Errorf("parseSize(%q) = %d, code %d, hint %q", text, got, code, hint)
		}
	}
}
