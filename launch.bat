@echo off
rem Prepares .venv in this folder (first start only), then runs the command. All logic: newbie_gui\bootstrap.py
setlocal
pushd "%~dp0"
if not exist newbie_gui\bootstrap.py echo Unpack the whole ZIP, then start launch.bat there.& pause & popd & exit /b 1
set PYTHONPATH=& set PYTHONHOME=& set RUN=
set PYTHON_MANAGER_AUTOMATIC_INSTALL=false
rem Tried by running: Windows has a python.exe that only opens its store. If none fits, bootstrap.py says why.
set FITS=import sys; sys.exit(sys.version_info[:2] not in ((3,11),(3,12),(3,13)) or sys.maxsize.bit_length()==31)
for %%p in (python py "py -3.11" "py -3.12" "py -3.13") do call %%~p -c "%FITS%" >nul 2>&1 && set RUN=%%~p
if not defined RUN for %%p in (py python) do call %%~p -c "" >nul 2>&1 && set RUN=%%~p
if not defined RUN echo Python 3.13 is needed: https://www.python.org/downloads/release/python-3139/ or: py install 3.13
if defined RUN call %RUN% newbie_gui\bootstrap.py %*
set CODE=%errorlevel%
if not defined RUN set CODE=1
if not "%CODE%"=="0" if not "%CODE%"=="130" pause
popd & exit /b %CODE%
