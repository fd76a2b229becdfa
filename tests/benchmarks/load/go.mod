module lading/load

go 1.25
