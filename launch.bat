@echo off
rem Prepares .venv in this folder (first start only), then runs the command. All logic: newbie_gui\bootstrap.py
setlocal
cd /d "%~dp0"
set PYTHONPATH=
set PYTHONHOME=
set RUN=python
for %%v in (3.11 3.12 3.13) do py -%%v -c "" >nul 2>&1 && set RUN=py -%%v
where python >nul 2>&1 || where py >nul 2>&1 || echo Python 3.11, 3.12 or 3.13 is needed: https://www.python.org/downloads/
%RUN% newbie_gui\bootstrap.py %*
set CODE=%errorlevel%
if not "%CODE%"=="0" pause
exit /b %CODE%
