module hygeia.dev/probe

go 1.26
