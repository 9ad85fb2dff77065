"""Everything a desk needs beside Python: the embedded Valkey, and the processes of a running system."""
