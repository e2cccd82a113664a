@echo off
rem Prepares .venv in this folder (first start only), then runs the command. All logic: newbie_gui\bootstrap.py
setlocal
pushd "%~dp0"
set PYTHONPATH=& set PYTHONHOME=
set PYTHON_MANAGER_AUTOMATIC_INSTALL=false
set RUN=
rem Tried by running: Windows has a python.exe that only opens its store. bootstrap.py says why one does not fit.
for %%p in (python py "py -3.11" "py -3.12" "py -3.13") do call %%~p -c "" >nul 2>&1 && set RUN=%%~p
if not defined RUN echo Python 3.13 is needed: py install 3.13, or https://www.python.org/downloads/release/python-3139/
if defined RUN call %RUN% newbie_gui\bootstrap.py %*
set CODE=%errorlevel%
if not defined RUN set CODE=1
if not "%CODE%"=="0" if not "%CODE%"=="130" pause
popd & exit /b %CODE%
