from dr_lib.cli import main

main()
