module stagewright

go 1.25
