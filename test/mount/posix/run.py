"""python3 run.py --list, or python3 run.py DIRECTORY [pattern of names | --cases < names.json]: results as JSON."""
import opening  # noqa: F401
import content  # noqa: F401
import mapping  # noqa: F401
import directories  # noqa: F401
import naming  # noqa: F401
import renaming  # noqa: F401
import attributes  # noqa: F401
import permissions  # noqa: F401
import special  # noqa: F401
import locks  # noqa: F401
import xattrs  # noqa: F401
import racing  # noqa: F401
import suite

suite.main()
